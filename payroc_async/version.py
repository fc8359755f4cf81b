"""The package's version, written here alone."""

__version__ = "0.1.0"
"""The version that runs."""
