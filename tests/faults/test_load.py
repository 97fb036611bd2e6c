"""More at once than there is room for: bounded, queued, answered; and clients that leave."""

from __future__ import annotations

import resource
import selectors
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

FIRST_CALLS = 200
MANY = 10_000
QUEUE = 20  # of `short-queue`, as its fnctl.yaml says


def test_first_calls_all_at_once_are_all_answered(fnctl: Running) -> None:
    """Of a function with no instance, one request at a time in each, and two instances at most."""
    fnctl.reap("narrow")
    with ThreadPoolExecutor(FIRST_CALLS) as pool:
        answers = list(pool.map(lambda number: fnctl.call("narrow"), range(FIRST_CALLS)))
    assert [answer.status for answer in answers] == [200] * FIRST_CALLS
    assert {answer.json["id"] for answer in answers} == {answer.id for answer in answers}
    assert 1 <= len(fnctl.instances("narrow")) <= 2


def test_containers_made_for_a_burst_stay_within_the_scale(fnctl: Running) -> None:
    fnctl.reap("once")
    most = 0
    with ThreadPoolExecutor(50) as pool:
        calls = [pool.submit(fnctl.call, "once") for _ in range(50)]

        def looked() -> bool:
            nonlocal most
            most = max(most, len(fnctl.instances("once")))
            return all(call.done() for call in calls)

        until(looked, "all calls to be answered", 120)
    assert [call.result().status for call in calls] == [200] * 50
    assert 1 <= most <= 10


def test_a_client_that_leaves_while_it_is_served_frees_its_place(fnctl: Running) -> None:
    fnctl.call("narrow")
    for _ in range(4):  # twice as many as may run at a time
        leave(fnctl, "narrow", "/?ms=30000")
    assert fnctl.call("narrow", timeout_s=20).status == 200


@pytest.mark.parametrize("function", ["once", "once-python"])
def test_a_client_that_leaves_an_ephemeral_function_ends_its_process(fnctl: Running, function: str) -> None:
    leave(fnctl, function, "/?ms=30000")
    fnctl.audit()
    assert fnctl.call(function).status == 200


def test_clients_that_leave_while_they_are_queued_are_forgotten(fnctl: Running) -> None:
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(fnctl.call, "narrow", "/?ms=1500") for _ in range(2)]
        until(lambda: in_flight(fnctl, "narrow") == 2, "both places to be taken")
        waiting = [opened(fnctl, "narrow", "/?ms=60000") for _ in range(20)]
        until(lambda: queued(fnctl, "narrow") == 20, "all to be queued")
        for client in waiting:
            client.close()
        until(lambda: queued(fnctl, "narrow") == 0, "all to be forgotten")
        assert [call.result().status for call in held] == [200, 200]


def test_past_the_bound_of_the_queue_requests_are_refused_at_once(fnctl: Running) -> None:
    assert fnctl.call("short-queue").status == 200
    with ThreadPoolExecutor(150) as pool:
        answers = list(pool.map(lambda number: fnctl.call("short-queue", "/?ms=200"), range(150)))
    served = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(served) + len(refused) == 150
    assert 21 <= len(served) < 150
    assert {answer.error["code"] for answer in refused} == {"queue_full"}
    assert all(answer.headers["Retry-After"] for answer in refused)


def test_ten_thousand_at_once_are_queued_within_the_bound_and_refused_past_it(fnctl: Running) -> None:
    """One is served for as long as the others come, so that the queue stays full.

    They are fewer where this machine allows no process that many file descriptors.
    """
    fnctl.call("short-queue")
    many = min(MANY, raise_descriptors() - 1000)
    assert many > 1000, "file descriptors"
    with opened(fnctl, "short-queue", "/?ms=100000"):
        until(lambda: in_flight(fnctl, "short-queue") == 1, "the place to be taken")
        with closing(Crowd(fnctl.port, b"GET /short-queue/ HTTP/1.1\r\nHost: localhost\r\n\r\n", many)) as crowd:
            until(lambda: crowd.answered() >= many - QUEUE, "all but those who are queued to be answered", 60)
            assert (in_flight(fnctl, "short-queue"), queued(fnctl, "short-queue")) == (1, QUEUE)
            answers = crowd.answers()
    assert len(answers) == many - QUEUE
    assert {answer.partition(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 429 Too Many Requests"}
    assert all(b"\r\nRetry-After: " in answer for answer in answers)


class Crowd:
    """Clients that have all sent a request, and stay, before any answer is read."""

    def __init__(self, port: int, request: bytes, count: int) -> None:
        self._got: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port))
            self._selector.register(client, selectors.EVENT_READ)
            client.sendall(request)
            client.setblocking(False)

    def answered(self) -> int:
        for key, _ in self._selector.select(0):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            self._got[client] = self._got.get(client, b"") + client.recv(65536)
        return len(self.answers())

    def answers(self) -> list[bytes]:
        return [head for head in self._got.values() if b"\r\n\r\n" in head]

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


def raise_descriptors() -> int:
    """As many as may be, for this process; fnctl does the same for itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return MANY * 10 if hard == resource.RLIM_INFINITY else hard


def test_ab_loses_nothing(fnctl: Running) -> None:
    fnctl.call("harmless")
    url = f"http://127.0.0.1:{fnctl.port}/harmless/"
    said = subprocess.run(["ab", "-q", "-n", "1000", "-c", "200", url], capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert "Complete requests:      1000" in said.stdout
    assert "Non-2xx" not in said.stdout
    # ab counts a body of another length as failed: bodies carry an id of fixed length, and the pid of one of few
    failed = next(line for line in said.stdout.splitlines() if line.startswith("Failed requests"))
    assert "Connect: 0, Receive: 0" in said.stdout or failed.split()[-1] == "0", said.stdout


def opened(fnctl: Running, function: str, path: str) -> socket.socket:
    """A client that has sent its request."""
    client = socket.create_connection(("127.0.0.1", fnctl.port))
    client.sendall(f"GET /{function}{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


def leave(fnctl: Running, function: str, path: str) -> None:
    """Send a request, and hang up once it is in flight."""
    with opened(fnctl, function, path):
        until(lambda: fnctl.status()["in_flight"] == 1, "the request to be in flight")
    until(lambda: fnctl.status()["in_flight"] == 0, "the request to be over")


def in_flight(fnctl: Running, function: str) -> int:
    return sum(row["in_flight"] for row in fnctl.instances(function))


def queued(fnctl: Running, function: str) -> int:
    return sum(row["queued"] for row in fnctl.status()["functions"] if row["name"] == function)
