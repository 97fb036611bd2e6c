"""From a function's folder to a bundle, and from a bundle to an image."""
