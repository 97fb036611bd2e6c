"""What a person at a terminal sees: with a live progress on stderr, the answer must still be there afterwards."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
ERASE = b"\x1b[2K"


def on_a_terminal(folder: Path, home: Path, *arguments: str) -> bytes:
    """Everything that `fnctl ARGUMENTS` writes to a terminal, in order."""
    environment = {**os.environ, "FNCTL_HOME": str(home), "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fnctl.cli.main", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        written = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
        assert child.wait(timeout=60) == 0, written.decode("utf-8", "replace")
    return written


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the other end open any more
        return b""


def test_answer_stays(tmp_path: Path) -> None:
    """A home is short, since sockets lie deep below it: hence the name of this test."""
    project = tmp_path / "hello"
    on_a_terminal(tmp_path, tmp_path / "h", "init", str(project))
    written = on_a_terminal(project, tmp_path / "h", "invoke", "hello")
    progress, _, rest = written.partition(b"Hello, world!")
    assert "✓ bundle hello".encode() in progress
    assert b"200 OK" in rest
    assert ERASE not in rest
