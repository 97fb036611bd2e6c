"""Container registries and what is in them, by the OCI specifications. Knows nothing of functions, asks no engine."""
