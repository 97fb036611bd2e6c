"""Whether a service can be used, as this machine's kernel tells it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fnctl.model import Ready, ServiceType
from fnctl.services.ready import readiness
from fnctl.services.sockets import Sockets, sockets


def kind(*ports: int) -> ServiceType:
    return ServiceType("k", Path("/"), "", ("k",), ports, Ready.LISTEN, None)


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_counts_from_listen_on_and_until_it_is_closed(family: int, address: str, tmp_path: Path) -> None:
    with socket.socket(family) as server:
        server.bind((address, 0))
        asked = readiness(kind(server.getsockname()[1]), tmp_path)
        assert not asked.ready(os.getpid())
        server.listen()
        assert asked.ready(os.getpid())
    assert not asked.ready(os.getpid())


def test_all_ports_are_waited_for(tmp_path: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        for server in (one, other):
            server.bind(("127.0.0.1", 0))
        asked = readiness(kind(one.getsockname()[1], other.getsockname()[1]), tmp_path)
        one.listen()
        assert not asked.ready(os.getpid())
        other.listen()
        assert asked.ready(os.getpid())


def test_a_process_that_is_gone_listens_on_nothing() -> None:
    assert sockets(2**22 + 1) == Sockets(frozenset(), {})
