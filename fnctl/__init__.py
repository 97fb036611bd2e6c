"""fnctl: build, ship and run functions on Docker, from pools of pre-warmed containers."""

__version__ = "0.1.0"
