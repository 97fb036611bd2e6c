"""Functions called by events of the project's own bus."""
