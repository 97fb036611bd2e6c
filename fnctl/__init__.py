"""fnctl: build, ship and run functions on Docker, from pools of pre-warmed containers."""

__version__ = "0.1.0"
RELEASED = 1_795_910_400  # 2026-11-29 UTC, when this version was: what has no date of its own is as old
