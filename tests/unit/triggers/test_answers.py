"""What an agent may answer on a data connection, generated: each request gets one answer, at once, whatever comes."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from fnctl.dispatch.invocation import Invocations
from fnctl.dispatch.ticker import Ticker
from fnctl.errors import FnctlError, FunctionError
from fnctl.model import Function, Receipt, SiteKey, StartKind
from fnctl.triggers.http.exchange import Exchange
from fnctl.triggers.http.found import Match
from fnctl.triggers.http.frames import DATA, Asked
from fnctl.triggers.http.head import RequestParser
from fnctl.triggers.http.limits import Limits
from fnctl.triggers.http.render import Stem
from fnctl.triggers.http.shared import SharedConnection
from fnctl.triggers.http.state import GatewayState
from fnctl.triggers.http.upstream import Upstream
from tests.contract.shared_agent import frame

FRAMES = int(os.environ.get("FRAMES", "4000"))  # `make faults` plays 100,000
SEED = int(os.environ.get("SEED", "1"))
TURN = 500
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
FUNCTION = Function("f", Path("/code"), "node24", "index.js")
CODES = {"ok", "protocol", "bad_response", "crash", "oom"}


class Transport:
    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_protocol(self, protocol: Any) -> None: ...


class Owner:
    def data_connected(self, connection: Any, transport: Any) -> None: ...

    def data_lost(self, connection: Any) -> None: ...


class Lease:
    plain = alone = False
    instance, function, version, start = "i", "f", "v", StartKind.WARM
    queue_ms = container_ms = runtime_ms = load_ms = 0.0

    def __init__(self, connection: Upstream) -> None:
        self.connection = connection
        self.released: list[FnctlError | None] = []

    def carry(self, invocation: str) -> None: ...

    def release(self, *, reusable: bool, error: FnctlError | None = None) -> None:
        self.released.append(error)

    def failure(self, answered: Callable[[FnctlError], None]) -> None:
        asyncio.get_running_loop().call_soon(answered, FunctionError("gone", code="oom"))


class Desk:
    """Admission, ledger and client in one: there is one request at a time."""

    closing = False

    def __init__(self) -> None:
        self.connection = Upstream(Owner())
        self.connection.connection_made(Transport())  # type: ignore[arg-type]
        self.lease = Lease(self.connection)
        self.receipts: list[Receipt] = []
        self.wrote = b""
        self.finishes = 0

    def try_acquire(self, site: SiteKey) -> Lease:
        return self.lease

    def receipt(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    def write(self, data: bytes) -> None:
        self.wrote += data

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def touch(self) -> None: ...

    def finished(self, clean: bool) -> None:
        self.finishes += 1


def error_bodies(chance: random.Random) -> bytes:
    odd: Any = chance.choice(["x", "\ud800", 10**400, None, [], {"a": 1}, "é" * 3000, True, -1, float("inf")])
    said = {"error": chance.choice([odd, {"type": odd}, {"message": odd}, {"type": odd, "message": odd}])}
    whole = json.dumps(said, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    deep = chance.choice((b"[", b'{"error":', b'{"error":{"type":')) * chance.choice((900, 20_000))
    digits = b'{"error":{"type":' + b"9" * 5000 + b"}}"
    return chance.choice([whole, whole, whole, deep, digits, whole[:-2], b"", b"\xff"])


def answer(chance: random.Random) -> bytes:
    errs = chance.random() < 0.4
    body = error_bodies(chance) if errs else chance.randbytes(chance.choice((0, 1, 50, 5000)))
    length: Any = chance.choice([len(body)] * 6 + [0, len(body) + 1, 10**30, -1, "0x5", "+5"])
    fields = [f"Content-Length: {length}"]
    kind = chance.randrange(6)
    if kind == 0:
        size = chance.choice([f"{len(body):x}"] * 4 + ["fffffffff", "-1", "zz", "0" * 400])
        fields, body = ["Transfer-Encoding: chunked"], size.encode() + b"\r\n" + body + b"\r\n0\r\n\r\n"
    elif kind == 1:
        fields = []
    if errs:
        words = ["crash", "crash", "bad_response", "", "é", "timeout\x00", "x" * 400]
        fields.append(f"X-Fnctl-Error: {chance.choice(words)}")
    if chance.random() < 0.2:
        large = "X: " + "y" * 40_000
        fields.append(chance.choice(["X: a\rb", "Connection: close", "\x00", "Upgrade: websocket", large]))
    status = chance.choice(["200 OK"] * 4 + ["500 E", "204 N", "304 N", "101 S", "100 C", "103 E", "99 X", "1000 X"])
    head = f"HTTP/1.{chance.choice('1110')} {status}\r\n" + "".join(f"{field}\r\n" for field in fields) + "\r\n"
    said = bytearray(head.encode("latin-1", "replace") + body)
    for _ in range(chance.choice((0, 0, 0, 3))):
        said[chance.randrange(len(said))] = chance.randrange(256)
    return bytes(said) * chance.choice((1, 1, 1, 1, 2))


async def play(chance: random.Random) -> None:
    desk = Desk()
    invocations = Invocations(desk, desk, Ticker(3600.0))  # type: ignore[arg-type]
    request = RequestParser().parse(HEAD, len(HEAD))
    match = Match(FUNCTION, SiteKey("f"), b"/", b"")
    shared = None
    if chance.random() < 0.5:
        desk.connection.join(shared := SharedConnection(Transport()))  # type: ignore[arg-type]
    stem = Stem(HEAD[:-2], Asked.of(b"GET", b"/", HEAD[16:-2], length=False))
    exchange = Exchange(GatewayState(invocations, Limits()), desk, request, match, stem, 1.0, 1.0)
    exchange.start(b"", True)
    said = answer(chance)
    size = chance.choice((1 << 16, 1 << 16, 1000, 7)) if len(said) < 9999 else 1 << 16
    for start in range(0, len(said), size):
        part = said[start : start + size]
        if shared is None:
            desk.connection.data_received(part)
        else:
            shared.data_received(frame(DATA, 0, 1, part))
    broken = desk.connection.transport is not None and desk.connection.transport.is_closing()
    assert not broken or desk.finishes == 1, "broken, and the client waits"
    if shared is not None:
        shared.connection_lost(None)
    desk.connection.connection_lost(None)
    for _ in range(2):
        await asyncio.sleep(0)
    assert (desk.finishes, len(desk.receipts), len(desk.lease.released)) == (1, 1, 1), said[:300]
    (receipt,), (error,) = desk.receipts, desk.lease.released
    assert receipt.verdict in CODES, receipt.verdict
    assert (receipt.verdict == "protocol") == (error is not None and error.code == "protocol"), "the instance is told"


def test_every_answer_of_an_agents_comes_to_one_answer_for_the_client() -> None:
    async def history(first: int) -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        for number in range(first, first + TURN):
            try:
                await play(random.Random(f"{SEED}:{number}"))
            except Exception as error:
                raise AssertionError(f"SEED={SEED}, answer {number}") from error
            assert errors == [], f"SEED={SEED}, answer {number}"

    for first in range(0, FRAMES, TURN):
        uvloop.run(history(first))
