"""One request that the function answers before it has loaded. Who serves it does not know that nobody asked."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

INVOCATION = "warmup"  # of nobody: its lines are marked with no invocation
FAILED = 500
GONE_S = 1.0


class Warmup:
    """`served` is the end to be served; `end` says what came of it. The thread is gone by then: no fork shares it."""

    def __init__(self, load: Mapping[str, Any]) -> None:
        self._path = load["warmup"]
        self._threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        self._mine, self.served = socket.socketpair()
        self._mine.sendall(_request(load))
        self._answer = b""
        self._reader = threading.Thread(target=self._read, daemon=True, name="fnctl-warmup")
        self._reader.start()  # an answer may be larger than what a socket holds

    def _wait_for_threads(self) -> None:
        """Python has joined it before the kernel has ended it: until then the process would count as having threads."""
        deadline = time.monotonic() + GONE_S
        while len(os.listdir("/proc/self/task")) > self._threads and time.monotonic() < deadline:  # noqa: PTH208
            time.sleep(0.0005)

    def _read(self) -> None:
        while part := self._mine.recv(65536):
            self._answer += part[: max(0, 64 - len(self._answer))]

    def end(self) -> None:
        """Once the served end is closed."""
        self._reader.join()
        self._mine.close()
        self._wait_for_threads()
        words = self._answer.split(b" ", 2)
        status = int(words[1]) if len(words) > 2 and words[1].isdigit() else 0
        if status == 0 or status >= FAILED:
            what = f"status {status}" if status else "no answer"
            sys.stderr.write(f"warmup: GET {self._path}: {what}\n")


def warm_up(load: Mapping[str, Any], serve_one: Callable[[socket.socket], object]) -> None:
    """`serve_one` serves one request on a connection, and closes it."""
    request = Warmup(load)
    serve_one(request.served)
    request.end()


def _request(load: Mapping[str, Any]) -> bytes:
    deadline_ms = int(time.time() * 1000) + load["timeout_ms"]
    return (
        f"GET {load['warmup']} HTTP/1.1\r\nHost: {load['function']}.localhost\r\nUser-Agent: fnctl-warmup\r\n"
        f"Accept: */*\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
        f"X-Forwarded-Host: {load['function']}.localhost\r\nX-Fnctl-Invocation-Id: {INVOCATION}\r\n"
        f"X-Fnctl-Deadline-Ms: {deadline_ms}\r\nConnection: close\r\n\r\n"
    ).encode()
