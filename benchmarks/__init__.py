"""Benchmarks: side by side, in alternating rounds, in one run; ``python -m benchmarks``."""
