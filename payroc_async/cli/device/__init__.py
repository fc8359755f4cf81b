"""The commands that run something on a device, and those about devices."""
