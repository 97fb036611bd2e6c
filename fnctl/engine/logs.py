"""The output of one container as lines, followed until it ends. Not where they are kept (records/journal.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fnctl.engine import answers
from fnctl.engine.connection import Refused, Wire, pieces
from fnctl.engine.events import cut
from fnctl.engine.port import Closer
from fnctl.errors import EngineError

SILENCE_S = 3600.0  # a service may have nothing to say for a day: the stream is opened anew
LAST_WORDS_S = 0.5  # between the end of a container and the end of its stream
RETRY_S = 1.0


class LogStream(Closer):
    """See Engine.logs."""

    def __init__(self, wire: Wire, sandbox: str, on_line: Callable[[str], None]) -> None:
        self._wire = wire
        self._sandbox = sandbox
        self._on_line = on_line
        self._stopped = threading.Event()
        self._connection: Any = None
        self._thread = threading.Thread(target=self._run, name="service-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(LAST_WORDS_S)
        self._stopped.set()
        cut(self._connection)
        self._thread.join(LAST_WORDS_S)

    def _run(self) -> None:
        tail = "all"
        while not self._stopped.is_set():
            try:
                self._read(tail)
                return
            except Refused:  # it is gone
                return
            except EngineError:
                tail = "0"
                self._stopped.wait(RETRY_S)

    def _read(self, tail: str) -> None:
        """Until the container has ended. EngineError where the line is cut, or was silent for long."""
        params = {"follow": "1", "stdout": "1", "stderr": "1", "tail": tail}
        path = f"/containers/{self._sandbox}/logs"
        try:
            with self._wire.stream("GET", path, params=params, timeout_s=SILENCE_S) as response:
                self._connection = getattr(response.raw, "connection", None)
                for line in answers.output_lines(answers.payloads(pieces(response))):
                    if self._stopped.is_set():
                        return
                    self._on_line(line.decode(errors="replace"))
        finally:
            self._connection = None
