"""The engine's event stream as callbacks: a thread that reads, reconnects, and says when something may be missing."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fnctl.engine import answers
from fnctl.engine.connection import Wire, pieces
from fnctl.engine.port import LABEL, Event
from fnctl.errors import EngineError

SILENCE_S = 60.0  # an engine that hangs is silent too: after this the stream is opened anew, and the caller lists anew
FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0
CLOSE_S = 5.0


class Watch:
    """Runs from its making until `close`. See Engine.events for what the callbacks are told."""

    def __init__(self, wire: Wire, on_event: Callable[[Event], None], on_gap: Callable[[], None]) -> None:
        self._wire = wire
        self._on_event = on_event
        self._on_gap = on_gap
        self._stopped = threading.Event()
        self._connection: Any = None
        self._thread = threading.Thread(target=self._run, name="engine events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        cut(self._connection)
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._stopped.is_set():
            try:
                self._read()
                retry_s = FIRST_RETRY_S
            except EngineError:
                self._stopped.wait(retry_s * random.uniform(0.8, 1.2))  # several watchers do not come back as one
                retry_s = min(LAST_RETRY_S, retry_s * 2)

    def _read(self) -> None:
        """One stream, to its end. Returns where it was merely silent; EngineError where there is none to be had."""
        filters = {"type": ["container"], "event": list(answers.ACTIONS), "label": [f"{LABEL}=1"]}
        opened = False
        try:
            with self._wire.stream(
                "GET", "/events", params={"filters": json.dumps(filters)}, timeout_s=SILENCE_S
            ) as response:
                opened = True
                self._connection = getattr(response.raw, "connection", None)
                self._tell(self._on_gap)
                for message in answers.json_lines(pieces(response)):
                    event = answers.event(message)
                    if event is not None:
                        self._tell(self._on_event, event)
        except EngineError:
            if not opened:
                raise
        finally:
            self._connection = None

    def _tell(self, callback: Callable[..., None], *args: Event) -> None:
        if not self._stopped.is_set():
            callback(*args)


def cut(connection: Any) -> None:
    """End a read that waits in another thread: closing a socket does not wake its reader, shutting it down does."""
    sock = getattr(connection, "sock", None)
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
