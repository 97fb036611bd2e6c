"""Connections that the function's side ends after an answer: the next request is not lost with them, nor sent twice."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.gateway_stage import GET, HELLO, Seen, Stage, app, closing, play, read_request, split, talk
from tests.support.turning import until

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
LARGE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000


class Closing:
    """An agent that answers once and then ends its connection; on any after the first it serves as others do."""

    def __init__(self, end: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self._end = end

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        first = self.connections == 1
        while True:
            self.seen.append(await read_request(reader))
            writer.write(HELLO)
            await writer.drain()
            if first:
                done = self._end(reader, writer)
                if asyncio.iscoroutine(done):
                    await done
                return


async def _after_it_was_sent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads nothing more, and closes when the next request has been written to it."""
    sock: socket.socket = writer.get_extra_info("socket")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    with socket.socket(fileno=os.dup(sock.fileno())) as peeking:
        await until(lambda: _has_come(peeking))


def _has_come(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def _at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes right behind the answer, in the same turn."""
    writer.transport.abort()


@pytest.mark.parametrize("request_", [GET, POST], ids=["get", "post"])
@pytest.mark.parametrize("end", [_after_it_was_sent, _at_once])
def test_a_request_that_nobody_read_goes_to_another_connection(
    folder: Path, request_: bytes, end: Callable[..., object]
) -> None:
    agent = Closing(end)

    async def scene(made: Stage) -> None:
        await made.add(app(), agent)
        answers = [split(await talk(made, closing(request_))) for _ in range(3)]
        assert [(line, body) for line, _, body in answers] == [(b"HTTP/1.1 200 OK", b"hello")] * 3

    made = play(folder, scene)
    assert [receipt.verdict for receipt in made.receipts] == ["ok"] * 3
    assert len(agent.seen) == 3, "none was sent twice"
    assert {seen.body for seen in agent.seen} == {request_.partition(b"\r\n\r\n")[2]}


async def _having_read_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "end"),
    [(GET, _having_read_it), (LARGE, _after_it_was_sent)],
    ids=["read", "too large to tell"],
)
def test_a_request_that_may_have_been_read_is_sent_once(
    folder: Path, request_: bytes, end: Callable[..., object]
) -> None:
    agent = Closing(end)

    async def scene(made: Stage) -> None:
        await made.add(app(), agent)
        await talk(made, closing(GET))
        assert split(await talk(made, closing(request_)))[0] == b"HTTP/1.1 502 Bad Gateway"

    made = play(folder, scene)
    assert [receipt.verdict for receipt in made.receipts] == ["ok", "oom"]
    assert len(agent.seen) == 1


def test_a_first_request_that_is_not_read_is_not_sent_again(folder: Path) -> None:
    """A function that turns every connection away would be asked for ever."""
    turned_away = 0

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turned_away
        await _after_it_was_sent(reader, writer)
        turned_away += 1

    async def scene(made: Stage) -> None:
        await made.add(app(), turn_away)
        assert split(await talk(made, closing(GET)))[0] == b"HTTP/1.1 502 Bad Gateway"

    play(folder, scene)
    assert turned_away == 1
