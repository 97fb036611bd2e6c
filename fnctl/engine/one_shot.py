"""A one-shot container: make, attach, start, read to its end, remove. Not sandboxes that live on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from fnctl.engine import answers
from fnctl.engine.connection import Refused, Wire, pieces
from fnctl.engine.port import RunResult
from fnctl.errors import EngineError
from fnctl.model import SandboxSpec

OUTPUT_BYTES = 1024 * 1024
GRACE_S = 10.0  # between a killed container's end and the engine's word of it


class Maker(Protocol):
    """What a run needs of the engine."""

    def make(self, spec: SandboxSpec) -> str: ...

    def start(self, sandbox: str) -> None: ...

    def destroy(self, sandbox: str) -> None: ...


class Tail:
    """The last bytes of an output, with a mark where it was cut."""

    def __init__(self, limit: int = OUTPUT_BYTES) -> None:
        self._limit = limit
        self._held = bytearray()
        self._cut = False

    def add(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > 2 * self._limit:  # in large strides, so that a long output is not moved at each line
            self._shorten()

    def _shorten(self) -> None:
        if len(self._held) > self._limit:
            del self._held[: len(self._held) - self._limit]
            self._cut = True

    def text(self) -> str:
        self._shorten()
        return ("[… output cut …]\n" if self._cut else "") + self._held.decode(errors="replace")


def run_to_end(
    maker: Maker, wire: Wire, spec: SandboxSpec, *, timeout_s: float, on_line: Callable[[str], None]
) -> RunResult:
    """See Engine.run. The container is gone afterwards, whatever happened."""
    deadline = time.monotonic() + timeout_s
    sandbox = maker.make(replace(spec, auto_remove=False))  # it must outlive its end until its code is read
    timed_out = threading.Event()
    alarm = threading.Timer(timeout_s, _kill, (wire, sandbox, timed_out))
    alarm.daemon = True
    try:
        with wire.stream(
            "POST",
            f"/containers/{sandbox}/attach",
            params={"stream": "1", "stdout": "1", "stderr": "1"},
            timeout_s=timeout_s + GRACE_S,
        ) as response:
            alarm.start()
            maker.start(sandbox)
            apart = {1: Tail(), 2: Tail()}
            tail = _read(_parted(answers.payloads(pieces(response)), apart), on_line)
        left_s = max(0.0, deadline - time.monotonic()) + GRACE_S  # its output may end before it does
        code = wire.call("POST", f"/containers/{sandbox}/wait", timeout_s=left_s)["StatusCode"]
        return RunResult(code, tail.text(), timed_out.is_set(), apart[1].text(), apart[2].text())
    finally:
        alarm.cancel()
        maker.destroy(sandbox)


def _parted(output: Iterator[tuple[int, bytes]], apart: dict[int, Tail]) -> Iterator[tuple[int, bytes]]:
    """The same, with each stream's bytes kept by themselves."""
    for stream, part in output:
        if stream in apart:
            apart[stream].add(part)
        yield stream, part


def _read(output: Iterator[tuple[int, bytes]], on_line: Callable[[str], None]) -> Tail:
    tail = Tail()
    for line in answers.output_lines(output):
        tail.add(line + b"\n")
        on_line(line.decode(errors="replace"))
    return tail


def _kill(wire: Wire, sandbox: str, timed_out: threading.Event) -> None:
    """On the alarm's own thread: its end lets the reader see the end of the output."""
    timed_out.set()
    with suppress(Refused):  # it has ended by itself in this moment
        _signal(wire, sandbox)


def _signal(wire: Wire, sandbox: str) -> None:
    with suppress(EngineError):  # the reader's own timeout, GRACE_S later, tells it
        wire.call("POST", f"/containers/{sandbox}/kill", params={"signal": "KILL"})
