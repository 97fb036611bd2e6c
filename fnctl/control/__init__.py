"""A run of a project from outside: composing, starting, asking, stopping, cleaning up after one that was killed."""
