"""More clients than there is room for: who waits for nothing makes room, who is served stays, and the rest is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from fnctl.triggers.http.clients import ENDED, Clients, whose
from fnctl.triggers.http.limits import Limits, clients_within
from tests.contract.gateway_stage import GET, HELLO, Stage, answering, app, closing, play, read_request, split, talk
from tests.support.turning import until


class Crowd:
    """Sockets that are closed in the end."""

    def __init__(self) -> None:
        self.clients: list[socket.socket] = []

    async def connect(self, port: int, data: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
        client = socket.socket()
        self.clients.append(client)
        client.bind((source, 0))
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        if data:
            client.sendall(data)
        return client


@contextlib.contextmanager
def crowd() -> Iterator[Crowd]:
    made = Crowd()
    try:
        yield made
    finally:
        for client in made.clients:
            client.close()


async def answer(client: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 4096), 20)


def is_ended(client: socket.socket) -> bool:
    try:
        return client.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers when it is told to go on, by a byte of a body that never comes."""
    await read_request(reader)
    await reader.read()


def test_beside_thousands_of_idle_clients_a_new_one_is_served(folder: Path) -> None:
    """From three addresses, since one alone has no right to all the room."""

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        with crowd() as idle:
            for number in range(2500):
                await idle.connect(made.port, source=f"127.0.0.{2 + number % 3}")
                if number % 250 == 0:
                    assert (await talk(made, closing(GET))).endswith(b"hello")
            assert (await talk(made, closing(GET))).endswith(b"hello")
            assert made.gateway.connections <= 1000
            row = made.gateway.clients_row()
            assert row["refused"] == 0
            assert 1500 <= row["ended"] <= 1500 + 20 * ENDED
            assert not any(is_ended(client) for client in idle.clients[-900:]), "the oldest go first"

    play(folder, scene, Limits(clients=1000))


def test_who_is_served_stays_and_who_waits_for_nothing_goes_first(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app("slow"), silent, connections=4)
        await made.add(app("quick"), answering(HELLO))
        with crowd() as there:
            slow = b"GET /slow/ HTTP/1.1\r\nHost: a\r\n\r\n"
            served = [await there.connect(made.port, slow) for _ in range(4)]
            await until(lambda: len(site.leases) == 4)
            partial = [await there.connect(made.port, b"GET / HT", source="127.0.0.3") for _ in range(8)]
            post = b"POST /slow/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"
            body = [await there.connect(made.port, post, source="127.0.0.3")]
            idle = [await there.connect(made.port, b"GET /nobody HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(7)]
            for client in idle:
                assert (await answer(client)).startswith(b"HTTP/1.1 404 ")
            one = await there.connect(made.port, source="127.0.0.2")  # the last place
            await until(lambda: made.gateway.connections == 21)
            more = await there.connect(made.port, source="127.0.0.2")
            await until(lambda: made.gateway.connections == 21 - ENDED + 1)
            ended = [client for client in (*idle, one) if is_ended(client)]
            assert len(ended) == ENDED, "all that were idle"
            assert not any(is_ended(client) for client in (*served, *partial, *body, more))

    play(folder, scene, Limits(clients=21))


def test_where_all_are_served_the_next_is_told(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app("slow"), silent, connections=9)
        with crowd() as there:
            slow = b"GET /slow/ HTTP/1.1\r\nHost: a\r\n\r\n"
            for number in range(8):
                await there.connect(made.port, slow, source=f"127.0.0.{2 + number % 3}")
            await until(lambda: len(site.leases) == 8)
            line, fields, body = split(await answer(await there.connect(made.port)))
            assert line == b"HTTP/1.1 503 Service Unavailable"
            assert (fields[b"retry-after"], fields[b"connection"]) == (b"1", b"close")
            assert b"too_many_clients" in body
            reader, writer = await asyncio.open_unix_connection(str(made.socket))  # its user's own, and not counted
            writer.write(b"GET /nobody/ HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
            writer.close()
            there.clients.pop(0).close()
            await until(lambda: made.gateway.clients_row()["now"] < 8)
            line, _, _ = split(await talk(made, closing(GET.replace(b"Host: a", b"Host: nobody.localhost"))))
            assert line == b"HTTP/1.1 404 Not Found"

    play(folder, scene, Limits(clients=8))


def test_one_address_leaves_room_for_others(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app("slow"), silent, connections=9)
        with crowd() as there:
            slow = b"GET /slow/ HTTP/1.1\r\nHost: a\r\n\r\n"
            for _ in range(6):
                await there.connect(made.port, slow)
            await until(lambda: len(site.leases) == 6)
            assert (await answer(await there.connect(made.port))).startswith(b"HTTP/1.1 503 ")
            await there.connect(made.port, slow, source="127.0.0.2")
            await until(lambda: len(site.leases) == 7)

    play(folder, scene, Limits(clients=8))


def test_bodies_that_wait_for_their_rest_are_held_within_a_bound(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        part = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b"x" * 40_000
        with crowd() as there:
            first, second = [await there.connect(made.port, part) for _ in range(2)]
            await until(lambda: made.gateway.held == 80_000)
            line, fields, body = split(await answer(await there.connect(made.port, part)))
            assert (line, fields[b"retry-after"]) == (b"HTTP/1.1 503 Service Unavailable", b"1")
            assert b"too_many_bodies" in body
            assert made.gateway.held == 80_000
            first.close()
            await until(lambda: made.gateway.held == 40_000)
            second.sendall(b"x" * 20_000)
            assert (await answer(second)).endswith(b"hello")
            assert made.gateway.held == 0

    play(folder, scene, Limits(held_bytes=100_000))


def test_bodies_that_are_needed_whole_are_held_within_the_same_bound(folder: Path) -> None:
    """A call that is accepted for later: more of it than is held ahead of a request that is passed on."""

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        head = b"POST / HTTP/1.1\r\nHost: a\r\nPrefer: respond-async\r\nContent-Length: 300000\r\n\r\n"
        with crowd() as there:
            first = await there.connect(made.port, head)
            await asyncio.get_running_loop().sock_sendall(first, b"x" * 299_999)
            await until(lambda: made.gateway.held == 299_999)
            second = await there.connect(made.port, head)
            with contextlib.suppress(ConnectionError):  # it may have been told before all is sent
                await asyncio.get_running_loop().sock_sendall(second, b"x" * 299_999)
            line, fields, body = split(await answer(second))
            assert (line, fields[b"retry-after"]) == (b"HTTP/1.1 503 Service Unavailable", b"1")
            assert b"too_many_bodies" in body
            first.sendall(b"x")
            assert (await answer(first)).startswith(b"HTTP/1.1 202 ")
            await until(lambda: made.gateway.held == 0)

    play(folder, scene, Limits(held_bytes=400_000))


class Waiting:
    def __init__(self, rank: tuple[int, float] | None) -> None:
        self.rank = rank
        self.ended = False

    def expendable(self) -> tuple[int, float] | None:
        return self.rank

    def abort(self) -> None:
        self.ended = True


def test_who_has_been_served_since_it_was_found_idle_is_not_ended() -> None:
    clients = Clients(Limits(clients=40))
    first = [Waiting((0, float(number))) for number in range(40)]
    for number, client in enumerate(first):
        assert clients.enter(client, f"10.0.0.{number}", trusted=False)
    assert clients.enter(Waiting(None), "10.0.1.1", trusted=False)
    assert [client.ended for client in first[:9]] == [True] * 8 + [False]
    first[8].rank, first[9].rank = None, (0, 99.0)
    for number in range(8):
        clients.enter(Waiting(None), f"10.0.2.{number}", trusted=False)
    assert [client.ended for client in first[8:19]] == [False, False, *[True] * 8, False]


def test_a_proxy_speaks_for_many_and_a_subscriber_is_one() -> None:
    clients = Clients(Limits(clients=8))
    assert all(clients.enter(Waiting(None), "10.0.0.1", trusted=True) for _ in range(6))
    assert [clients.enter(Waiting(None), "2001:db8::1", trusted=False) for _ in range(1)] == [True]
    assert [clients.enter(Waiting(None), "2001:db8::2", trusted=False) for _ in range(1)] == [True]
    clients = Clients(Limits(clients=8))
    assert [clients.enter(Waiting(None), f"2001:db8::{n}", trusted=False) for n in range(3)] == [True, True, False]
    assert whose("::ffff:10.0.0.1") == "10.0.0.1"
    assert (whose("fe80::1%eth0"), whose("::1"), whose("odd:one")) == ("fe80::/64", "::1", "odd:one")


def test_room_is_left_for_what_is_not_a_client() -> None:
    assert (clients_within(20_000), clients_within(1024), clients_within(256)) == (15_000, 768, 128)
    assert clients_within(20_000, 100) == 100
