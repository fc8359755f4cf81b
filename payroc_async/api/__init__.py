"""The one-call endpoints, a module for each group of them."""
