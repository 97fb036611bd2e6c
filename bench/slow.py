"""What a thousand slow clients cost the others: latency with them connected, beside latency without."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from fnctl.bench import calls, load
from fnctl.bench.calls import Target
from fnctl.bench.interleave import Mismatch, interleave
from fnctl.bench.load import Load
from fnctl.bench.measure import Measure, Question
from fnctl.bench.stack import Serving, running
from fnctl.bench.subject import Subject

SLOW = 1000
CONNECTIONS = 8
DRIP_S = 0.5  # between two bytes of each: below what makes the gateway let go of a client

QUESTION = Question(
    "slow-clients",
    f"p99 with {SLOW} slow clients connected",
    f"{CONNECTIONS} connections that take what they can, a sample is the p99 of one load; in turns: beside {SLOW} other"
    f" clients that send a head or a body a byte each {DRIP_S:g} s or do not read their answer, and alone",
    "ms",
    over=f"with {SLOW} slow clients ÷ without",
)


def beside_none(ask: Question, subject: Subject, duration_s: float, n: int) -> Measure:
    """`n` loads of each. They go to the tiny app, so that the gateway is what is measured."""
    with running(subject.project, Serving((subject.name,))) as stack:
        target = stack.target(subject.name, subject.path)
        stack.warm_up(target)
        arms = {
            f"with {SLOW} slow clients": lambda: _with_slow(target, duration_s),
            "without": lambda: _p99(target, duration_s),
        }
        series = interleave(arms, n)
    return Measure(ask, tuple(series))


def _with_slow(target: Target, duration_s: float) -> float:
    with slow_clients(target, SLOW):
        return _p99(target, duration_s)


def _p99(target: Target, duration_s: float) -> float:
    outcome = load.apply(Load(target, CONNECTIONS, duration_s))
    if outcome.failed or outcome.p99_ms is None:
        raise Mismatch(f"{outcome.failed} requests failed")
    return outcome.p99_ms


@contextmanager
def slow_clients(target: Target, count: int) -> Iterator[None]:
    """A third each sends a head, a body, or reads, slower than it might. Gone at the end of the block."""
    head = f"POST {target.path} HTTP/1.1\r\nHost: {target.host}\r\n".encode()
    body = head + b"Content-Length: 100000\r\n\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(calls.connect(target.address)) for _ in range(count)]
        third = count // 3
        for number, client in enumerate(clients):
            client.sendall(head + b"X-Slow: " if number < third else body if number < 2 * third else target.request())
        over = threading.Event()
        dripping = threading.Thread(target=_drip, args=(clients[: 2 * third], over), name="slow clients")
        dripping.start()
        try:
            yield
        finally:
            over.set()
            dripping.join()


def _drip(clients: Sequence[socket.socket], over: threading.Event) -> None:
    while not over.wait(DRIP_S):
        for client in clients:
            with suppress(OSError):  # let go by the gateway
                client.send(b"x")
