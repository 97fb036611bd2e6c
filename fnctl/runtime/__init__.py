"""The function service: pool, scheduler, reaper, and the host's side of the sandbox protocol."""
