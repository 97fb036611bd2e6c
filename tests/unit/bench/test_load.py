"""The load generators against a real server: what they count, whom they blame, and from when they time."""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from fnctl.bench import calls, load
from fnctl.bench.calls import Target
from fnctl.bench.generator import Job
from fnctl.bench.load import Load, own_outcome, wrk_outcome
from fnctl.bench.measure import NotMeasured

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GONE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

Answer = Callable[[int], bytes | None]  # by the request's number from 1; None: never


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        while self._read_head():
            answer = server.next_answer()
            if answer is None:
                server.released.wait()
                return
            self.wfile.write(answer)
            if answer is LAST:
                return

    def _read_head(self) -> bool:
        try:
            line = self.rfile.readline()
            while line not in (b"\r\n", b""):
                line = self.rfile.readline()
        except ConnectionError:
            return False
        return line != b""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests = 0
        self.released = threading.Event()
        self._lock = threading.Lock()

    def next_answer(self) -> bytes | None:
        with self._lock:
            self.requests += 1
            number = self.requests
        return self.answer(number)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error."""


@contextmanager
def serving(answer: Answer) -> Iterator[_Server]:
    with _Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


def target(server: _Server) -> Target:
    port = server.server_address[1]
    return Target(("127.0.0.1", port), f"localhost:{port}")


def generate(job: Job) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "fnctl.bench.generator"], input=json.dumps(asdict(job)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def job(server: _Server, *, connections: int = 2, rate: float | None = None, drain_s: float = 5.0) -> Job:
    to = target(server)
    port = server.server_address[1]
    return Job(to.request().decode(), connections, 0.3, host="127.0.0.1", port=port, rate=rate, drain_s=drain_s)


def test_a_closed_loop_counts_what_was_answered() -> None:
    with serving(lambda number: OK) as server:
        outcome = own_outcome(generate(job(server)))
        assert 0 < outcome.requests <= server.requests
    assert outcome.failed == 0
    assert outcome.p50_ms is not None
    assert outcome.rps == pytest.approx(outcome.requests / outcome.took_s)


def test_answers_that_are_no_success_have_failed() -> None:
    with serving(lambda number: GONE) as server:
        outcome = own_outcome(generate(job(server)))
    assert (outcome.requests, outcome.p50_ms) == (0, None)
    assert outcome.failed > 0


def test_a_connection_that_ends_is_dialled_again() -> None:
    with serving(lambda number: LAST) as server:
        outcome = own_outcome(generate(job(server)))
    assert outcome.requests > 2
    assert outcome.failed == 0


def test_an_open_loop_accounts_for_every_request_that_was_due() -> None:
    with serving(lambda number: OK) as server:
        outcome = own_outcome(generate(job(server, rate=100)))
    assert (outcome.requests, outcome.failed) == (30, 0)


def test_what_was_due_and_never_answered_has_failed() -> None:
    with serving(lambda number: OK if number <= 5 else None) as server:
        outcome = own_outcome(generate(job(server, connections=1, rate=100, drain_s=0.2)))
    assert (outcome.requests, outcome.failed) == (5, 25)


def test_a_stall_counts_against_every_request_that_it_delays() -> None:
    """The first answer is held back until all requests are due: a closed loop would have seen one slow answer."""
    held = threading.Event()

    def answer(number: int) -> bytes:
        if number == 1:
            held.wait(0.3)
        return OK

    with serving(answer) as server:
        said = generate(job(server, connections=1, rate=100))
    latencies = said["latencies_ms"]
    assert isinstance(latencies, list)
    assert len(latencies) == 30
    assert sum(took > 50 for took in latencies) > 15


def test_connections_that_are_open_already_are_used() -> None:
    with serving(lambda number: OK) as server:
        socks = [calls.connect(target(server).address) for _ in range(2)]
        outcome = load.apply(Load(target(server), 2, 0.3), [sock.fileno() for sock in socks])
        for sock in socks:
            sock.close()
    assert outcome.tool == load.OWN
    assert outcome.requests > 0


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_wrk_counts_the_same_things() -> None:
    with serving(lambda number: GONE if number % 2 else OK) as server:
        outcome = load.apply(Load(target(server), 2, 1.0))
    assert outcome.tool == "wrk"
    assert outcome.requests > 0
    assert outcome.failed == pytest.approx(outcome.requests, abs=4)


def test_wrk_answers_that_are_no_success_are_taken_out_of_its_count() -> None:
    said = {"requests": 100, "us": 2_000_000, "refused": 30, "broken": 5, "p50": 1500.0, "p90": 2000.0, "p99": 9000.0}
    outcome = wrk_outcome(f"noise\n{json.dumps(said)}\n", 0.5)
    assert (outcome.requests, outcome.failed, outcome.rps) == (70, 35, 35.0)
    assert (outcome.p50_ms, outcome.p90_ms, outcome.p99_ms) == (1.5, 2.0, 9.0)


def test_a_wrk_that_says_nothing_is_not_measured() -> None:
    with pytest.raises(NotMeasured, match="unable to connect"):
        wrk_outcome("unable to connect to localhost:1 Connection refused", 0.0)


def test_the_first_success_is_waited_for_through_refusals_and_errors() -> None:
    with serving(lambda number: OK if number > 3 else GONE) as server:
        answer = calls.first_success(target(server), time.perf_counter() + 10)
    assert answer is not None
    assert bytes(answer.body) == b"ok"


def test_nothing_is_waited_for_once_the_program_has_ended() -> None:
    free = Target(("127.0.0.1", calls.free_port()), "localhost")
    assert calls.first_success(free, time.perf_counter() + 60, lambda: False) is None


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_every_framing_of_a_response_is_read(raw: bytes, body: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(raw)
        theirs.shutdown(socket.SHUT_WR)
        answer = calls.exchange(ours, b"GET / HTTP/1.1\r\n\r\n")
    assert (answer.ok, bytes(answer.body)) == (True, body)


def test_a_response_that_breaks_off_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            calls.exchange(ours, b"GET / HTTP/1.1\r\n\r\n")


def test_server_timing_gives_the_start_kind() -> None:
    header = "start;desc=runtime, queue;dur=0.1, load;dur=21.4"
    assert calls.server_timing({"server-timing": header}) == {"start": "runtime", "queue": "0.1", "load": "21.4"}
    assert calls.server_timing({}) == {}


def test_a_unix_socket_is_an_address_too(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(OK)

        thread = threading.Thread(target=answer)
        thread.start()
        assert calls.call(Target(path, "fnctl", "/v1/status")).ok
        thread.join()
