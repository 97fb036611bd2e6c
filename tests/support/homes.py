"""Homes of fnctl that share what they installed and downloaded: keyed by what it is made of, it is the same in each."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_SHARED = "FNCTL_TESTS_SHARED"  # where it is: processes of one run of the suite inherit it
_NAMES = ("deps", "cache")


def share() -> None:
    """From now on, for this process and those it starts."""
    os.environ[_SHARED] = tempfile.mkdtemp(prefix="fnctl-shared-")


def unshare() -> None:
    shutil.rmtree(os.environ.pop(_SHARED))


def made(home: Path) -> Path:
    """Make the folder, with dependencies and downloads where all such homes have them. Not for a test of `prune`, nor
    for one of what an installation does."""
    home.mkdir(mode=0o700, parents=True)
    for name in _NAMES:
        there = Path(os.environ[_SHARED]) / name
        there.mkdir(mode=0o700, exist_ok=True)
        (home / name).symlink_to(there)
    return home
