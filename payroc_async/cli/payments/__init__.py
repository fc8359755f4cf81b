"""The commands that find and change payments."""
