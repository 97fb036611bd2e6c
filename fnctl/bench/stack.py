"""A running `fnctl run` as a child process, and its admin API: all that the bench knows of fnctl's own service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fnctl.bench import calls
from fnctl.bench.calls import Response, Target
from fnctl.bench.interleave import Mismatch
from fnctl.bench.measure import NotMeasured
from fnctl.errors import FnctlError
from fnctl.model import Project, StartKind
from fnctl.paths import ProjectPaths

READY_S = 900.0  # images and bundles may have to be made first
STOP_S = 60.0
SETTLE_S = 20.0  # instances that were called come to rest, or end
POLL_S = 0.01
COLLECTED_S = 0.5  # nobody tells when an agent that was told to sleep has collected its memory
AT_WORK = frozenset({"starting", "loading", "busy", "draining"})
ADMIN_HOST = "fnctl"


@dataclass(frozen=True, slots=True)
class Serving:
    """How a stack is to be run."""

    functions: tuple[str, ...] = ()  # all where none is named
    warm: int = 3
    boot: bool = True  # False: pooled containers stay at base
    watch: bool = False

    def arguments(self, port: int) -> list[str]:
        argv = ["run", *self.functions, "--quiet", "--warm", str(self.warm), "--port", str(port)]
        return argv + ["--no-boot"] * (not self.boot) + ["--watch"] * self.watch


class Stack:
    """One service that is up. Made by `running`."""

    def __init__(self, project: Project, child: subprocess.Popen[bytes], port: int) -> None:
        self.project = project
        self.port = port
        self._child = child
        self._admin = ProjectPaths.of(project.id).admin_socket

    @property
    def pid(self) -> int:
        """Of the process that serves: gateway, scheduler and pool in one."""
        return self._child.pid

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._ask("GET", "/v1/status").json()
        return status

    def reap(self, function: str) -> None:
        """No instance of the function is left, and the pool is full again.

        Asked again where one was not idle: an ephemeral one that has answered is still being cleaned.
        """
        deadline = time.monotonic() + SETTLE_S
        while True:
            self._ask("POST", f"/v1/reap?function={function}")
            if self._row(function)["instances"] == 0:
                return
            if time.monotonic() > deadline:
                raise NotMeasured(f"{function} still has instances {SETTLE_S:.0f} s after they were to end")
            time.sleep(POLL_S)

    def sleep(self, function: str) -> None:
        """Every instance of the function is asleep, and has collected its memory. NotMeasured where none is there."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            self._ask("POST", f"/v1/sleep?function={function}")
            states = [row["state"] for row in self.status()["instances"] if row["function"] == function]
            if set(states) == {"asleep"}:
                break
            if time.monotonic() > deadline:
                raise NotMeasured(f"instances of {function} are {', '.join(states) or 'none'}, and not asleep")
            time.sleep(POLL_S)
        time.sleep(COLLECTED_S)

    def await_rest(self, function: str) -> None:
        """No instance of the function is at work, loading, or being cleaned. NotMeasured where that never comes."""
        deadline = time.monotonic() + SETTLE_S
        while any(row["function"] == function and row["state"] in AT_WORK for row in self.status()["instances"]):
            if time.monotonic() > deadline:
                raise NotMeasured(f"an instance of {function} was still at work after {SETTLE_S:.0f} s")
            time.sleep(POLL_S)

    def _row(self, function: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.status()["functions"]
        return next(row for row in rows if row["name"] == function)

    def _ask(self, method: str, path: str) -> Response:
        answer = calls.call(Target(self._admin, ADMIN_HOST, path), method)
        if not answer.ok:
            raise NotMeasured(
                f"{method} {path} of the admin API: {answer.status} {answer.body.decode('utf-8', 'replace')}"
            )
        return answer

    def target(self, function: str, path: str | None = None) -> Target:
        """Where a user would send a request to the function: its first address, or `path` at that host."""
        url = urlsplit(self._row(function)["urls"][0].rpartition(" ")[2])
        if path is None and "{" in url.path:
            raise NotMeasured(f"{function} is at {url.path}: give a path to call with --path")
        return Target(("127.0.0.1", self.port), url.netloc, path or url.path or "/")

    def first_call(self, function: str, target: Target, kind: StartKind) -> float:
        """Milliseconds of one call after every instance has gone. Mismatch where it started otherwise than `kind`.

        Returns with the pool full again: its refilling must not fall on what is measured next.
        """
        self.reap(function)
        try:
            return self.call(target, kind)
        finally:
            self.reap(function)

    def call(self, target: Target, kind: StartKind) -> float:
        """Milliseconds of one call on a connection of its own; Mismatch where it is no success or of another kind."""
        took_ms, answer = calls.timed_call(target)
        expect(answer, kind)
        return took_ms

    def warm_up(self, target: Target) -> None:
        """One call whatever it starts. NotMeasured where it does not succeed: nothing can be measured of it then."""
        answer = calls.call(target)
        if not answer.ok:
            said = answer.body[:300].decode("utf-8", "replace")
            raise NotMeasured(f"GET {target.path} at {target.host} is answered {answer.status}: {said}")


def expect(answer: Response, *kinds: StartKind) -> None:
    """Raise Mismatch where the answer is no success, or came of an instance that started another way than these."""
    if not answer.ok:
        raise Mismatch(f"answered {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}")
    found = calls.server_timing(answer.headers).get("start", "no start kind")
    if found not in kinds:
        raise Mismatch(f"started {found}, not {' or '.join(kinds)}")


@contextmanager
def running(project: Project, serving: Serving) -> Iterator[Stack]:
    """Serve the project in a child process; stopped, with its containers gone, at the end."""
    port = calls.free_port()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "fnctl.cli.main", *_placed(serving.arguments(port), project)],
            cwd=project.root,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C comes to the bench alone, which then stops it in order
        )
        try:
            stack = Stack(project, child, port)
            _await_ready(stack, child, said)
            yield stack
        finally:
            _stop(child)


def _placed(arguments: Sequence[str], project: Project) -> list[str]:
    return [*arguments, "--file", str(project.file)] if project.file else list(arguments)


def _await_ready(stack: Stack, child: subprocess.Popen[bytes], said: Any) -> None:
    deadline = time.monotonic() + READY_S
    while child.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, FnctlError, ValueError):
            if stack.status()["pid"] == child.pid:
                return
        time.sleep(POLL_S)
    said.seek(0)
    text = said.read().decode("utf-8", "replace").rstrip()
    why = "ended" if child.poll() is not None else f"was not ready within {READY_S:.0f} s"
    raise FnctlError(f"`fnctl run` of {stack.project.root} {why}", detail=text[-2000:])


def _stop(child: subprocess.Popen[bytes]) -> None:
    """An ordered stop, then a forced one (a second signal), then SIGKILL: its containers end by themselves then."""
    for signum in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signum)
        with suppress(subprocess.TimeoutExpired):
            child.wait(STOP_S)
