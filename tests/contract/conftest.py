"""Fixtures of the contract suites."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for the paths of unix sockets are."""
    with tempfile.TemporaryDirectory(prefix="gw") as made:
        yield Path(made)
