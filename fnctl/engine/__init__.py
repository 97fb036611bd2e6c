"""The port to Docker and what stands behind it. Imports nothing by itself: the Docker client takes long to import."""
