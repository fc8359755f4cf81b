"""One-call endpoints, one module per group."""
