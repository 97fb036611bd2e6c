"""A Node agent's shared connection, frame by frame: any cut of the bytes, credit, cancelling, and what falls back."""

from __future__ import annotations

import random
import socket
from dataclasses import replace

import pytest

from fnctl import catalog
from fnctl.triggers.http import frames
from fnctl.triggers.http.frames import CLOSE, DATA, WINDOW, Asked, Decoder, Frame
from tests.contract.agents.conftest import Start
from tests.contract.agents.sandbox_host import Sandboxes, SandboxHost

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

RUNTIMES = ("node24",)
ID = "0" * 23
CODE = """
const http = require('http');
http.createServer((request, response) => {
  const note = (what) => console.log(`${request.url} ${what}`);
  request.on('aborted', () => note('request aborted')).on('error', (error) => note(error.code));
  response.on('close', () => note(`response closed, ${response.writableFinished}`));
  if (request.url === '/never') return note('begun');
  if (request.url === '/large') return response.end(Buffer.alloc(300_000, 'x'));
  if (request.url === '/thrown') throw new Error('in the handler');
  let size = 0;
  request.on('data', (chunk) => { size += chunk.length; }).on('end', () => {
    response.end(`${request.method} ${request.url} ${size}`);
  });
}).listen(process.env.PORT);
process.on('uncaughtException', (error) => console.log(`uncaught: ${error.message}`));
"""


class Shared:
    """The host's end, without a reader in between."""

    def __init__(self, host: SandboxHost) -> None:
        host.send_load("app.js", share=True, model="resident")
        loaded = host.agent.expect("loaded")
        assert loaded["shares"] is True
        self.sock: socket.socket = host.accept_data()
        host.accept_data()
        self._decoder = Decoder()
        self._read: list[Frame] = []

    def ask(self, slot: int, number: int, target: bytes, body: bytes = b"") -> bytes:
        asked = Asked.of(b"POST", target, b"Host: a\r\n", length=True)
        invocation = b"%b%03d" % (ID.encode(), number)
        return frames.headers(1, asked.headers) + frames.request(slot, number, asked, 1, invocation, 9e12, body)

    def next(self) -> Frame:
        while not self._read:
            self._read += self._decoder.feed(self.sock.recv(65536))
        return self._read.pop(0)

    def answer(self, number: int, size: int) -> bytes:
        """So many bytes of what comes for this one."""
        got = b""
        while len(got) < size:
            frame = self.next()
            assert (frame.kind, frame.number) == (DATA, number)
            got += frame.payload
        return got


@pytest.fixture
def shared(start: Start) -> tuple[SandboxHost, Shared]:
    host = start("node24", {"app.js": CODE})
    return host, Shared(host)


def test_requests_are_read_however_they_are_cut(shared: tuple[SandboxHost, Shared]) -> None:
    _, made = shared
    chance = random.Random(1)
    bodies = [chance.randbytes(chance.choice((0, 1, 700, 65_536))) for _ in range(40)]
    data = b"".join(made.ask(at % 5, at + 1, b"/%d" % at, body) for at, body in enumerate(bodies[:5]))
    for lap in range(8):
        at = 0
        while at < len(data):
            size = chance.choice((1, 2, 11, 50, 4000, 100_000))
            made.sock.sendall(data[at : at + size])
            at += size
        for _ in range(5):
            frame = made.next()
            number = frame.number
            assert frame.payload.endswith(b"\r\n\r\nPOST /%d %d" % (number - 1, len(bodies[number - 1])))
        first = (lap + 1) * 5
        data = b"".join(made.ask(at % 5, at + 1, b"/%d" % at, bodies[at]) for at in range(first, min(first + 5, 40)))


def test_an_answer_waits_for_credit(shared: tuple[SandboxHost, Shared]) -> None:
    _, made = shared
    made.sock.sendall(made.ask(0, 1, b"/large"))
    head = made.answer(1, WINDOW)
    assert len(head) == WINDOW
    made.sock.sendall(made.ask(1, 2, b"/small"))  # others go on meanwhile
    assert made.next().number == 2
    whole = head.index(b"\r\n\r\n") + 4 + 300_000
    got = len(head)
    while got < whole:
        made.sock.sendall(frames.credit(0, 1, WINDOW))
        part = min(WINDOW, whole - got)
        got += len(made.answer(1, part))
    assert got == whole


def test_a_cancelled_request_is_aborted_for_the_function(shared: tuple[SandboxHost, Shared]) -> None:
    host, made = shared
    made.sock.sendall(made.ask(0, 1, b"/never"))
    host.logs.wait_for("/never begun")
    made.sock.sendall(frames.cancel(0, 1) + made.ask(0, 2, b"/next"))
    assert (made.next().kind, made.next().number) == (CLOSE, 2)
    host.logs.wait_for("/never response closed, false")


def test_a_handler_that_throws_leaves_the_requests_beside_it(shared: tuple[SandboxHost, Shared]) -> None:
    host, made = shared
    made.sock.sendall(made.ask(0, 1, b"/thrown") + made.ask(1, 2, b"/beside"))
    assert made.next().payload.endswith(b"POST /beside 0")
    host.logs.wait_for("uncaught: in the handler")


def test_a_node_that_has_not_what_frames_need_serves_on_connections(sandboxes: Sandboxes) -> None:
    runtime = catalog.runtimes()["node24"]
    environment = (*runtime.environment, ("NODE_OPTIONS", "--require=/fn/app/other.js --no-deprecation"))
    other = "require('_http_common').HTTPParser.kOnBody = 99;"
    with sandboxes.one(replace(runtime, environment=environment)) as host:
        host.place({"app.js": CODE, "other.js": other})
        host.boot()
        host.send_load("app.js", share=True, model="resident")
        assert host.agent.expect("loaded")["shares"] is False
        host.logs.wait_for("requests come on a connection each")
