"""`fnctl run --detach`: the same command in a session of its own, and how it tells that it serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fnctl.cli import output
from fnctl.errors import FnctlError

if TYPE_CHECKING:
    from fnctl.model import Project

READY_FD = "FNCTL_READY_FD"  # the child says "ready" on this file descriptor
_DETACHED = "FNCTL_DETACHED"  # in the environment of such a run, whoever takes it over


def is_detached() -> bool:
    """Whether this process is the run in the background."""
    return _DETACHED in os.environ


def log_of(project: Project) -> Path:
    """What a detached run says; bounded (run_log.py)."""
    from fnctl.paths import ProjectPaths

    return ProjectPaths.of(project.id).ensure().root / "run.log"


def detach(project: Project) -> None:
    """Start the same command in a session of its own, wait until it serves or fails, and pass on how it went."""
    log = log_of(project)
    log.write_text("")
    arguments = [argument for argument in sys.argv[1:] if argument not in ("-d", "--detach")]
    reader, writer = os.pipe()
    with log.open("a") as out:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "fnctl.cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            pass_fds=(writer,),
            env={**os.environ, READY_FD: str(writer), _DETACHED: "1"},
        )
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as news:
            ready = news.read()
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    said = log.read_text()
    if ready != b"ready":
        raise DetachFailed(child.wait(), said)
    output.say(said.rstrip())
    output.say(f"serving in the background (pid {child.pid}); `fnctl logs -f`, `fnctl ps`, `fnctl stop`")


class DetachFailed(FnctlError):
    """The detached run ended before it served; its own words are the message."""

    def __init__(self, code: int, said: str) -> None:
        text = said.rstrip()
        marker = text.rfind("error: ")
        super().__init__(text[marker + len("error: ") :] if marker >= 0 else text or "the background process exited")
        self.exit_code = code or 1
