"""Functions called by time."""
