"""The `docker` command, as a user types it: for looking at what fnctl made from outside, and for harming it."""

from __future__ import annotations

import os
import subprocess

COMMAND_S = 60.0


def docker(*words: str, **environment: str) -> str:
    """What it said on stdout. CalledProcessError where it fails; TimeoutExpired where it does not end."""
    done = subprocess.run(
        ["docker", *words],
        check=True, capture_output=True, text=True, timeout=COMMAND_S, env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout
