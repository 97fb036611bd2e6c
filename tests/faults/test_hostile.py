"""Agents and clients that break the protocol, or take their time, on a real service: others are served meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import re
import resource
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.test_gateway_refusals import MALFORMED
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

SLOW = 1000


@pytest.mark.parametrize("say", ["garbage", "deep", "endless", "hello", "loaded", "done", "please"])
def test_an_agent_that_speaks_out_of_order_is_ended_alone(fnctl: Running, say: str) -> None:
    """Code in the agent's own process says it, over the agent's own connection."""
    with ThreadPoolExecutor(1) as pool:
        bad = pool.submit(fnctl.call, "babbler", f"/?say={say}")
        while not bad.done():
            assert fnctl.call("harmless").status == 200
        answer = bad.result()
    assert (answer.status, answer.error["code"]) == (502, "protocol"), answer.body
    fnctl.audit()
    assert fnctl.instances("babbler") == []
    assert fnctl.call("babbler").body == b"said nothing"


def test_a_second_answer_is_nobodys(fnctl: Running) -> None:
    """The first one is the call's, or its bytes cannot be told from the second's: then that is said."""
    answer = fnctl.call("babbler", "/?say=twice")
    assert answer.body == b"first" or (answer.status, answer.error["code"]) == (502, "protocol"), answer.body
    for _ in range(3):
        assert fnctl.call("babbler").body == b"said nothing"


def test_a_second_control_connection_hears_nothing_and_changes_nothing(fnctl: Running) -> None:
    fnctl.call("babbler")
    before = [row["id"] for row in fnctl.instances("babbler")]
    assert fnctl.call("babbler", "/?say=second").json == {"heard": ""}
    assert [row["id"] for row in fnctl.instances("babbler")] == before


# -- clients -----------------------------------------------------------------------------------------------------------


def raw(fnctl: Running, data: bytes) -> bytes:
    """What is answered until the gateway hangs up."""
    with socket.create_connection(("127.0.0.1", fnctl.port), 30) as client:
        got = b""
        with contextlib.suppress(ConnectionError):
            client.sendall(data)
            while piece := client.recv(65536):
                got += piece
    return got


def to_counted(data: bytes) -> bytes:
    return re.sub(rb"(?m)^(GET|POST) / HTTP", rb"\1 /counted/ HTTP", data).replace(b"Host: a", b"Host: localhost")


GET = to_counted(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def seen(fnctl: Running) -> int:
    return sum(row["kind"] == "line" and row["text"] == "seen" for row in fnctl.desk.lines("counted"))


def test_requests_that_can_be_read_in_two_ways_never_come_to_a_function(fnctl: Running) -> None:
    """Each between two that are well-formed: of these, the first alone is answered, and seen."""
    before = seen(fnctl)
    for what, data in MALFORMED.items():
        got = raw(fnctl, GET + to_counted(data) + GET)
        assert (got.count(b"HTTP/1.1 200 OK"), got.count(b"HTTP/1.1 400 Bad Request")) == (1, 1), (what, got)
    until(lambda: seen(fnctl) - before >= len(MALFORMED), "each first request to be seen")
    fnctl.audit()
    assert seen(fnctl) - before == len(MALFORMED)


def test_a_hundred_thousand_chunks_and_ten_thousand_fields(fnctl: Running) -> None:
    head = b"POST /counted/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    before = resident_mb(fnctl)
    with ThreadPoolExecutor(1) as pool:
        chunks = pool.submit(raw, fnctl, head + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
        while not chunks.done():
            assert fnctl.call("harmless").status == 200
    assert chunks.result().endswith(b'{"bytes":100000}')
    assert raw(fnctl, b"GET /counted/ HTTP/1.1\r\n" + b"a: b\r\n" * 10_000 + b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert resident_mb(fnctl) < before + 32


def resident_mb(fnctl: Running) -> float:
    pages = int(Path(f"/proc/{fnctl.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


@contextlib.contextmanager
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, SLOW + 1000)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def p99_ms(fnctl: Running) -> float:
    """Of 300 calls on one connection, all answered."""
    took = []
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", fnctl.port, timeout=30)) as client:
        for _ in range(300):
            began = time.monotonic()
            client.request("GET", "/harmless/")
            answer = client.getresponse()
            assert (answer.status, len(answer.read()) > 0) == (200, True)
            took.append(1000 * (time.monotonic() - began))
    return sorted(took)[-3]


def test_beside_a_thousand_slow_clients_the_others_are_served(fnctl: Running) -> None:
    """They send a part of a head, a part of a body, or do not read. What they cost the others is printed."""
    parts = [
        b"GET /harmless/ HTTP/1.1\r\nHost: local",
        b"POST /harmless/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc",
    ]
    reader = b"GET /big/?bytes=16777216 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    fnctl.call("big", "/?bytes=1")
    alone, memory = p99_ms(fnctl), resident_mb(fnctl)
    with many_files(), contextlib.ExitStack() as clients:
        for number in range(SLOW):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", fnctl.port), 30))
            client.sendall(reader if number % 50 == 0 else parts[number % 2])
        beside = p99_ms(fnctl)
        assert resident_mb(fnctl) < memory + 64
    sys.stdout.write(f" p99 of the others: {alone:.2f} ms alone, {beside:.2f} ms beside {SLOW} slow clients ")
    until(lambda: fnctl.status()["clients"]["now"] == 0, "all to be let go")
