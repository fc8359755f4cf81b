"""The journal in an SQLite file, for one machine."""
