"""Durable runs: work that outlives a process, each on one append-only log. Not who asks for it, nor the store below."""
