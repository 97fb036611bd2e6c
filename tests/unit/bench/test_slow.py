"""Slow clients of the bench: as many as were asked for, of three kinds, and gone afterwards."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import ExitStack

from bench.slow import slow_clients
from fnctl.bench.calls import Target


def test_a_third_each_sends_a_head_a_body_or_does_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        target = Target(server.getsockname(), "app.localhost", "/x")
        with slow_clients(target, 9):
            peers = [stack.enter_context(server.accept()[0]) for _ in range(9)]
            said = [peer.recv(65536) for peer in peers]
            assert all(data.split(b"\r\n")[0].endswith(b" /x HTTP/1.1") for data in said)
            assert Counter(kind(data) for data in said) == {"head": 3, "body": 3, "whole": 3}
            assert peers[said.index(next(data for data in said if kind(data) == "head"))].recv(1) == b"x"
        for peer in peers:
            while peer.recv(65536):  # what was sent before the end
                pass


def kind(data: bytes) -> str:
    if b"\r\n\r\n" not in data:
        return "head"
    return "body" if b"Content-Length: 100000" in data else "whole"
