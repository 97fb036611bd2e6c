"""`fnctl setup`: which runtimes it makes an image of, and what it does where a named engine is silent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.cli.setup import chosen
from fnctl.errors import UsageError


def test_the_defaults_and_what_is_asked_for_each_once() -> None:
    assert [spec.name for spec in chosen(["node22", "node24"], catalog.runtimes())] == [
        "node24",
        "python3.13",
        "node22",
    ]


def test_an_unknown_runtime_names_the_known() -> None:
    with pytest.raises(UsageError, match="no runtime named `node20`") as caught:
        chosen(["node20"], catalog.runtimes())
    assert caught.value.hint == "available: " + ", ".join(sorted(catalog.runtimes()))


def test_an_engine_that_was_named_and_does_not_answer_is_never_replaced(tmp_path: Path) -> None:
    """As a process: the client library leaves the socket of a failed connection to the garbage collector."""
    socket = f"unix://{tmp_path}/none.sock"
    done = subprocess.run(
        [sys.executable, "-m", "fnctl.cli.main", "setup"],
        env={**os.environ, "DOCKER_HOST": socket},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: the Docker Engine at {socket} does not answer" in done.stderr
    assert "hint: start it, or unset DOCKER_HOST" in done.stderr
