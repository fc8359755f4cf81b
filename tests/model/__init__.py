"""The lifecycle in a product with the world: every order of events, every fault, up to a number.

``python -m tests.model --faults 4`` explores all configurations and prints a verdict.
"""
