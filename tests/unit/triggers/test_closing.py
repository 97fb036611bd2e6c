"""A listener that takes no more: what had connected is accepted, what comes later is refused, and nothing is reset."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from fnctl.triggers.http.closing import take_no_more
from tests.support.waiting import until


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_comes_between_the_last_accept_and_the_end_is_not_taken(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener, socket.socket(family) as late:
        listener.bind((address, 0))
        listener.listen()
        there = listener.getsockname()[:2]
        with socket.create_connection(there) as early:
            take_no_more(listener)
            late.setblocking(False)
            assert late.connect_ex(there) == errno.EINPROGRESS  # and stays so, where it would have been taken
            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b"request")
                assert accepted.recv(100) == b"request", "one that had connected is not concerned"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        listener.close()
        told = until(lambda: late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the kernel to ask again")
        assert told == errno.ECONNREFUSED


def test_a_unix_socket_cannot_be_found_any_more(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as early:
        listener.bind(str(path))
        listener.listen()
        early.connect(str(path))
        take_no_more(listener)
        with socket.socket(socket.AF_UNIX) as late, pytest.raises(FileNotFoundError):
            late.connect(str(path))
        accepted, _ = listener.accept()
        accepted.close()
