"""The stateful services of a project and their networks."""
