"""Warm calls, as many as are wanted, on connections that stay: each answered, each with one receipt, in flat memory."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import uvloop

from fnctl.records.reader import read
from tests.faults.rig import Running
from tests.soak.figures import Figures, say
from tests.support.waiting import until

CONNECTIONS = 16
BATCH = 10_000
FUNCTIONS = ("harmless", "harmless-python")
RECEIPTS_S = 60.0


class Receipts:
    """Strikes out who has a receipt, as the log grows, in a thread of its own."""

    def __init__(self, logs: Path, function: str) -> None:
        self.missing: set[str] = set()
        self.twice = 0
        self._early: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(logs, function), daemon=True)
        self._thread.start()

    def _follow(self, logs: Path, function: str) -> None:
        for entry in read(logs, function, follow=True, wait=lambda pause_s: self._wait(pause_s)):
            if entry["kind"] == "receipt":
                self._strike(entry["id"])
            if self._over.is_set():
                return

    def _wait(self, pause_s: float) -> None:
        self._over.wait(pause_s)

    def _strike(self, invocation: str) -> None:
        with self._lock:
            if invocation in self.missing:
                self.missing.discard(invocation)
            elif invocation in self._early:
                self.twice += 1
            else:
                self._early.add(invocation)

    def expect(self, invocations: list[str]) -> None:
        with self._lock:
            for invocation in invocations:
                if invocation in self._early:
                    self._early.discard(invocation)
                else:
                    self.missing.add(invocation)

    def close(self) -> None:
        self._over.set()


def soak(fnctl: Running, count: int) -> Figures:
    figures = Figures("warm calls", {"calls": count, "errors": 0, "lost_receipts": 0})
    for function in FUNCTIONS:
        assert fnctl.call(function).status == 200
    receipts = {function: Receipts(fnctl.desk.state / "logs", function) for function in FUNCTIONS}
    rounds = max(2, count // BATCH)
    warm_after, before = max(1, rounds // 10), 0.0
    for number in range(rounds):
        function = FUNCTIONS[number % len(FUNCTIONS)]
        invocations, errors = uvloop.run(_batch(fnctl.port, function, count // rounds))
        receipts[function].expect(invocations)
        for error in errors:
            figures.failed[error] += 1
        figures.counted["errors"] += len(errors)
        if number + 1 == warm_after:
            before = memory_mb(fnctl.process.pid)
        if (number + 1) % 10 == 0:
            say(f"  {(number + 1) * (count // rounds)} calls, {memory_mb(fnctl.process.pid):.0f} MB")
    after = memory_mb(fnctl.process.pid)
    for each in receipts.values():
        try:
            until(lambda each=each: not each.missing, "a receipt for each call", RECEIPTS_S)  # type: ignore[misc]
        except AssertionError:
            figures.failed["lost receipt"] += len(each.missing)
        figures.counted["lost_receipts"] += len(each.missing)
        figures.failed.update({"receipt told twice": each.twice} if each.twice else {})
        each.close()
    figures.counted |= {"memory_mb": round(after, 1), "memory_ratio": round(after / before, 3)}
    if after > 1.2 * before:
        figures.failed[f"memory grew from {before:.0f} to {after:.0f} MB"] += 1
    return figures


def memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


async def _batch(port: int, function: str, count: int) -> tuple[list[str], list[str]]:
    invocations, errors = list[str](), list[str]()
    left = iter(range(count))
    await asyncio.gather(*(_connection(port, function, left, invocations, errors) for _ in range(CONNECTIONS)))
    return invocations, errors


async def _connection(port: int, function: str, left: object, invocations: list[str], errors: list[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET /{function}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    for _ in left:  # type: ignore[attr-defined]
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        await reader.readexactly(int(fields[b"content-length"]))
        status = head[9:12].decode()
        if status == "200":
            invocations.append(fields[b"x-fnctl-invocation-id"].decode().upper())
        else:
            errors.append(f"status {status}")
    writer.close()
