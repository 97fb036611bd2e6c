"""Whether a service accepts connections, as this machine's kernel tells it: by a server in this very process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from fnctl.services.liveness import Liveness

PID = os.getpid()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as made:
        yield made


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


@pytest.fixture
def liveness(server: socket.socket) -> Iterator[Liveness]:
    made = Liveness([port_of(server)])
    yield made
    made.close()


def connected(server: socket.socket) -> socket.socket:
    return socket.create_connection(server.getsockname())


def test_one_that_accepts_nothing_is_found_by_those_who_wait(server: socket.socket, liveness: Liveness) -> None:
    """No connection of its own: who may not enter the service's network sees those of functions."""
    with connected(server):
        assert liveness.look(PID, None) == ""
        for _ in range(3):
            assert liveness.look(PID, None) == f"port {port_of(server)} has accepted no connection"


def test_one_that_accepts_now_and_then_is_slow_and_not_stuck(server: socket.socket, liveness: Liveness) -> None:
    with connected(server), connected(server), connected(server):
        assert liveness.look(PID, None) == ""
        server.accept()[0].close()
        assert liveness.look(PID, None) == ""
        server.accept()[0].close()
        assert liveness.look(PID, None) == ""
        assert liveness.look(PID, None) != ""
        server.accept()[0].close()
        assert liveness.look(PID, None) == ""


def test_a_client_that_has_left_counts_until_it_is_accepted(server: socket.socket, liveness: Liveness) -> None:
    connected(server).close()
    assert liveness.look(PID, None) == ""
    assert liveness.look(PID, None) != ""
    server.accept()[0].close()
    assert liveness.look(PID, None) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="making a connection in a network namespace needs root")
def test_where_nobody_calls_it_is_called(server: socket.socket, liveness: Liveness) -> None:
    assert liveness.look(PID, "127.0.0.1") == ""
    assert liveness.look(PID, "127.0.0.1") != "", "the connection of the look before waits"
    server.accept()[0].close()
    assert liveness.look(PID, "127.0.0.1") == ""
    server.accept()[0].close()
    assert liveness.look(PID, "127.0.0.1") == ""


def test_a_port_that_is_not_listened_on_any_more(server: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        liveness = Liveness([port_of(server), port_of(other)])
        assert liveness.look(PID, None) == ""
        gone = port_of(other)
    assert liveness.look(PID, None) == f"nothing listens on port {gone}"


def test_a_process_that_is_gone_is_not_stuck() -> None:
    liveness = Liveness([80])
    assert [liveness.look(2**22 + 1, None) for _ in range(3)] == [""] * 3
