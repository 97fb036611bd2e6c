"""The host's side of a shared connection, blocking, for the tests of what runs inside a sandbox. For http.client, each
request is a socket."""

from __future__ import annotations

import socket
import threading
from typing import Any

from fnctl.triggers.http import frames
from fnctl.triggers.http.frames import BODY_BYTES, DATA, METHODS, Asked, Decoder

OWN = ("transfer-encoding", "upgrade", "expect")
SLOTS = 64


class SharedHost:
    """Answers are read by a thread, and kept by the kernel for whoever asked."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._open: dict[tuple[int, int], socket.socket] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Once the agent has ended."""
        self._thread.join(10)

    def ask(self, asked: Asked, invocation: bytes, deadline_ms: float, body: bytes) -> tuple[int, int, socket.socket]:
        here, there = socket.socketpair()
        with self._lock:
            self._number += 1
            slot, number = self._number % SLOTS, self._number
            self._open[slot, number] = there
            known = number % 256
            self._sock.sendall(
                frames.headers(known, asked.headers)
                + frames.request(slot, number, asked, known, invocation, deadline_ms, body)
            )
        return slot, number, here

    def cancel(self, slot: int, number: int) -> None:
        with self._lock:
            self._sock.sendall(frames.cancel(slot, number))

    def _read(self) -> None:
        decoder = Decoder()
        try:
            while data := self._sock.recv(65536):
                for kind, slot, number, payload in decoder.feed(data):
                    self._deliver(kind, slot, number, payload)
        except OSError:
            pass
        for there in self._open.values():
            there.close()

    def _deliver(self, kind: int, slot: int, number: int, payload: bytes) -> None:
        there = self._open.get((slot, number))
        if there is None:
            return
        if kind != DATA:
            there.close()
            del self._open[slot, number]
            return
        try:
            there.sendall(payload)
        except OSError:  # nobody reads it any more
            return
        with self._lock:
            self._sock.sendall(frames.credit(slot, number, len(payload)))


class Asking:
    """For http.client, in the place of a socket. What does not fit a frame goes to `own`, a connection of its own."""

    def __init__(self, shared: SharedHost, own: socket.socket) -> None:
        self._shared = shared
        self._own = own
        self._sent = b""
        self._asked: tuple[int, int, socket.socket] | None = None

    def sendall(self, data: Any) -> None:
        self._sent += bytes(data)

    def makefile(self, mode: str) -> Any:
        if (fit := _fit(self._sent)) is None:
            self._own.sendall(self._sent)
            return self._own.makefile("rb")
        self._asked = self._shared.ask(*fit)
        with self._asked[2] as answer:
            return answer.makefile("rb")

    def close(self) -> None:
        """http.client's, once the answer has its end: the connection stays."""


def _fit(sent: bytes) -> tuple[Asked, bytes, float, bytes] | None:
    head, _, body = sent.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    method, target, _ = line.split(b" ")
    fields = {name.lower().decode(): value.strip() for name, _, value in (each.partition(b":") for each in lines)}
    invocation = fields.get("x-fnctl-invocation-id", b"")
    if method not in METHODS or len(body) > BODY_BYTES or len(invocation) != 26 or any(name in fields for name in OWN):
        return None
    hidden = (b"content-length:", b"x-fnctl-invocation-id:", b"x-fnctl-deadline-ms:")
    kept = b"".join(each + b"\r\n" for each in lines if not each.lower().startswith(hidden))
    deadline_ms = float(fields.get("x-fnctl-deadline-ms", b"9e12"))
    return Asked.of(method, target, kept, length="content-length" in fields), invocation, deadline_ms, body
