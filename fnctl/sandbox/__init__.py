"""One sandbox: the link to its agent, its slot and user, its life as an instance, and what its end means."""
