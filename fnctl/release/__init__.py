"""A project as one thing that is shipped: its functions' images, and how they are served. Runs nothing."""
