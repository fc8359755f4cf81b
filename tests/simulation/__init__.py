"""Deterministic simulation: the real supervisor, runner and journal rules in virtual time.

The gateway, the network, the journal's disk and the clock are in memory and follow one seed. Each
sale meets faults, cancellations, timeouts, closes, kills and recoveries until its adversary
relents; then it must have come to its true end. ``python -m tests.simulation --sales 1000000`` runs
many; a failure prints the seed of its sale and the shortest schedule that still fails.
"""
