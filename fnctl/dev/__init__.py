"""`fnctl run --watch`: what changes on disk, and what is done then. Not the building, and not the swapping."""
