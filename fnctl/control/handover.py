"""A restart in place: whether another fnctl goes on in this process when this run has stopped, and which. It is tried
before anything stops. How sockets and lock come to it is in given_sockets.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence

from fnctl.errors import ConflictError, DeadlineExceeded, FnctlError, UsageError

TRIAL = "FNCTL_TRIAL"  # in the environment of a `fnctl run` that prepares all that it would serve, and ends
TRIAL_S = 1800.0  # it may have to make images


def on_trial() -> bool:
    """Whether this process is one that only makes ready."""
    return TRIAL in os.environ


def own_program() -> tuple[str, ...]:
    """What starts the fnctl that this process runs."""
    return (sys.executable, "-P", "-m", "fnctl.cli.main")


class Handover:
    """`program` goes on when the run has ended; None: nobody does."""

    def __init__(self, arguments: Sequence[str] | None) -> None:
        """`arguments`: of the command line that started this run; None: of none that could be given to another."""
        self._arguments = arguments
        self._trying = False
        self.program: tuple[str, ...] | None = None

    async def prepare(self, program: Sequence[str]) -> None:
        """Have this program make ready all that it would serve, beside what is served. FnctlError where it cannot:
        nothing has changed then."""
        if self._arguments is None:
            raise UsageError("only a service that `fnctl run` started can be restarted in place")
        if self._trying or self.program is not None:
            raise ConflictError("this service is being restarted already", hint="`fnctl ps` shows when it serves again")
        whole = (*program, *self._arguments)
        self._trying = True
        try:
            await _tried(whole)
        finally:
            self._trying = False
        self.program = whole

    def cancel(self) -> None:
        self.program = None


async def _tried(program: Sequence[str]) -> None:
    environment = {**os.environ, TRIAL: "1"}
    environment.pop("NOTIFY_SOCKET", None)
    try:
        process = await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
    except OSError as error:
        raise FnctlError(f"cannot start {program[0]}: {error.strerror or error}") from error
    try:
        said, _ = await asyncio.wait_for(process.communicate(), TRIAL_S)
    except TimeoutError as error:
        raise DeadlineExceeded(f"the new fnctl was not ready within {TRIAL_S / 60:g} minutes", hint=_KEPT) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        text = said.decode(errors="replace").strip()
        raise FnctlError("the new fnctl cannot serve this project", hint=_KEPT, detail=text[-4000:], code="not_ready")


_KEPT = "the service runs on as before"
