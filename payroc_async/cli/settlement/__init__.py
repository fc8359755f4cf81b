"""The commands at the end of the day."""
