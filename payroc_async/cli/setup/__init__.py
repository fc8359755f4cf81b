"""The commands before the first sale: the doctor, and the simulator."""
