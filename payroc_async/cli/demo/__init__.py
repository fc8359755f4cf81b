"""The demo: sales on simulated devices, under faults."""
