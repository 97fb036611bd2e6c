"""The data service as its clients meet it: a real process, real connections. Also the promises of its store."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).parents[2] / "layers" / "data" / "server.py"
JSON = {"Content-Type": "application/json"}


@dataclass
class Service:
    """One running data service. `call` uses a connection of its own."""

    process: subprocess.Popen[str]
    port: int

    @classmethod
    def start(cls, database: Path, *more: str) -> Service:
        command = [sys.executable, str(SERVER), "--host", "127.0.0.1", "--port", "0", "--db", str(database), *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return cls(process, int(process.stdout.readline().rsplit(":", 1)[1]))

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, payload, {**(JSON if body is not None else {}), **(headers or {})})
            response = connection.getresponse()
            raw = response.read()
            return response.status, json.loads(raw) if raw else None, response.headers
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Everything the service says to these bytes, to the end of the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(15)
        if self.process.stdout:
            self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service.start(tmp_path_factory.mktemp("data") / "data.db")
    yield running
    assert running.end(signal.SIGTERM) == 0


@pytest.fixture
def table(request: pytest.FixtureRequest) -> str:
    """A table of the test's own: tests share the service, not their records."""
    name: str = request.node.name
    return name.lower().replace("[", "_").replace("]", "").replace("-", "_")[:60]


def titles(service: Service, path: str) -> list[str]:
    status, records, _ = service.call("GET", path)
    assert status == 200, records
    return [record["title"] for record in records]


def test_health(service: Service) -> None:
    status, body, _ = service.call("GET", "/")
    assert (status, body) == (200, {"service": "data", "status": "ok"})


def test_a_record_lives_and_dies(service: Service, table: str) -> None:
    status, made, headers = service.call("POST", f"/{table}", {"title": "milk", "done": False})
    assert status == 201
    assert headers["Location"] == f"/{table}/{made['id']}"
    assert made == {**made, "title": "milk", "done": False}
    assert made["created"] == made["updated"]
    at = f"/{table}/{made['id']}"
    assert service.call("GET", at)[1] == made
    status, patched, _ = service.call("PATCH", at, {"done": True, "note": None})
    assert status == 200
    assert patched == {**made, "done": True, "note": None, "updated": patched["updated"]}
    status, replaced, _ = service.call("PUT", at, {"title": "bread"})
    assert status == 200
    assert replaced == {key: replaced[key] for key in ("id", "title", "created", "updated")}
    assert replaced["created"] == made["created"]
    assert service.call("DELETE", at)[0] == 204
    assert service.call("GET", at)[0] == 404
    assert service.call("DELETE", at)[0] == 404
    assert service.call("PATCH", at, {})[0] == 404


def test_put_makes_a_record_under_the_clients_id(service: Service, table: str) -> None:
    assert service.call("PUT", f"/{table}/mine-1", {"n": 1})[0] == 201
    assert service.call("GET", f"/{table}/mine-1")[1]["n"] == 1


def test_the_services_own_fields_cannot_be_set(service: Service, table: str) -> None:
    made = service.call("POST", f"/{table}", {"id": "x", "created": "never", "updated": 1, "n": 1})[1]
    assert made["id"] != "x"
    assert made["created"].startswith("20")
    assert service.call("PATCH", f"/{table}/{made['id']}", {**made, "n": 2})[1]["n"] == 2


def test_ids_sort_by_the_order_of_making(service: Service, table: str) -> None:
    made = [service.call("POST", f"/{table}", {"n": n})[1]["id"] for n in range(20)]
    assert made == sorted(made)
    assert [record["id"] for record in service.call("GET", f"/{table}")[1]] == made


def test_an_unused_table_is_empty(service: Service, table: str) -> None:
    status, body, headers = service.call("GET", f"/{table}")
    assert (status, body, headers["X-Total-Count"]) == (200, [], "0")


def test_filter_sort_and_page(service: Service, table: str) -> None:
    for n, title in enumerate(["Milk", "bread", "buttermilk", "100%"]):
        service.call("POST", f"/{table}", {"title": title, "done": n % 2 == 0, "n": n, "code": str(n)})
    assert titles(service, f"/{table}?done=true") == ["Milk", "buttermilk"]
    assert titles(service, f"/{table}?n=1") == titles(service, f"/{table}?code=1") == ["bread"]
    assert titles(service, f"/{table}?title~=MILK") == ["Milk", "buttermilk"]
    assert titles(service, f"/{table}?title~=%25") == ["100%"]
    assert titles(service, f"/{table}?title~=milk&done=true&n=0") == ["Milk"]
    assert titles(service, f"/{table}?missing=1") == []
    assert titles(service, f"/{table}?_sort=-n") == ["100%", "buttermilk", "bread", "Milk"]
    assert titles(service, f"/{table}?_sort=done,-n") == ["100%", "bread", "buttermilk", "Milk"]
    assert titles(service, f"/{table}?_sort=-created,-id&_limit=1&_offset=1") == ["buttermilk"]
    status, page, headers = service.call("GET", f"/{table}?done=false&_limit=1")
    assert (status, len(page), headers["X-Total-Count"]) == (200, 1, "2")
    assert service.call("GET", f"/{table}?_limit=0")[2]["X-Total-Count"] == "4"


@pytest.mark.parametrize("value", ["' OR 1=1 --", '"', "$.x", "\u0000", "ü", "\ud800", "a" * 10_000])
def test_text_comes_back_as_it_went_in(service: Service, value: str) -> None:
    made = service.call("POST", "/odd_text", {"title": value})[1]
    assert service.call("GET", f"/odd_text/{made['id']}")[1]["title"] == value
    assert service.call("GET", "/odd_text?title~=nowhere")[1] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("GET", "/Todos", None, {}, 400, "bad_table"),
        ("GET", "/1todos", None, {}, 400, "bad_table"),
        ("GET", "/" + "t" * 64, None, {}, 400, "bad_table"),
        ("GET", "/todos%0a", None, {}, 400, "bad_table"),
        ("GET", "/todos/%2e%2e", None, {}, 400, "bad_id"),
        ("PUT", "/todos/" + "i" * 129, {}, {}, 400, "bad_id"),
        ("GET", "/a/b/c", None, {}, 404, "not_found"),
        ("GET", "/a//c", None, {}, 404, "not_found"),
        ("GET", "/todos/nothing", None, {}, 404, "not_found"),
        ("GET", "/todos?_order=x", None, {}, 400, "bad_query"),
        ("GET", "/todos?a.b=x", None, {}, 400, "bad_query"),
        ("GET", "/todos?_sort=", None, {}, 400, "bad_query"),
        ("GET", "/todos?_limit=-1", None, {}, 400, "bad_query"),
        ("GET", "/todos?_limit=1001", None, {}, 400, "bad_query"),
        ("GET", "/todos?_offset=99999999999999999999", None, {}, 400, "bad_query"),
        ("GET", "/todos?" + "a=1&" * 17, None, {}, 400, "bad_query"),
        ("GET", "/todos?" + "a=1&" * 99, None, {}, 400, "bad_query"),
        ("DELETE", "/todos", None, {}, 405, "method_not_allowed"),
        ("POST", "/", {}, {}, 405, "method_not_allowed"),
        ("POST", "/todos/x", {}, {}, 405, "method_not_allowed"),
        ("OPTIONS", "/todos", None, {}, 405, "method_not_allowed"),
        ("TRACE", "/todos", None, {}, 405, "method_not_allowed"),
        ("POST", "/todos", b"{", {}, 400, "bad_json"),
        ("POST", "/todos", b"\xff", {}, 400, "bad_json"),
        ("POST", "/todos", b'{"n": NaN}', {}, 400, "bad_json"),
        ("POST", "/todos", b"", {}, 400, "bad_json"),
        ("POST", "/todos", [1], {}, 400, "bad_record"),
        ("POST", "/todos", b'{"a":' * 64 + b"1" + b"}" * 64, {}, 400, "bad_record"),
        ("POST", "/todos", b"[" * 100_000, {}, 400, "bad_json"),
        ("POST", "/todos", {}, {"Content-Type": "text/plain"}, 415, "bad_content_type"),
        ("POST", "/todos", b"x" * (1024 * 1024 + 1), {}, 413, "too_large"),
        ("PATCH", "/todos/x", {}, {"If-Match": "1"}, 400, "bad_etag"),
    ],
)
def test_what_is_refused_says_why(
    service: Service, method: str, path: str, body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    got, answer, replied = service.call(method, path, body, headers)
    assert (got, answer["error"]["code"]) == (status, code), answer
    assert answer["error"]["message"]
    assert answer["error"]["hint"]
    assert ("Allow" in replied) == (status == 405)


def test_a_missing_content_type_is_refused(service: Service) -> None:
    assert b" 415 " in service.raw(b"POST /todos HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b" 411 "),
        (b"Content-Length: +2\r\n\r\n{}", b" 400 "),
        (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b" 400 "),
        (b"Content-Length: 9\r\n\r\n{}", b" 400 "),
    ],
)
def test_unclear_framing_ends_the_connection(service: Service, head: bytes, status: bytes) -> None:
    following = b"DELETE /smuggled HTTP/1.1\r\nHost: d\r\n\r\n"
    answer = service.raw(b"POST /todos HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n" + head + following)
    if b"Content-Length: 9\r\n" in head:  # here the next request's first bytes are the body's
        assert answer.count(b"HTTP/1.1 ") >= 1
    else:
        assert answer.count(b"HTTP/1.1 ") == 1
        assert status in answer


def test_a_connection_serves_many_requests(service: Service, table: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.connect()
    first = connection.sock.getsockname()
    for n in range(5):
        connection.request("POST", f"/{table}", json.dumps({"n": n}), JSON)
        assert connection.getresponse().read()
        connection.request("GET", "/Wrong")  # a refusal does not cost the connection
        assert connection.getresponse().read()
        assert connection.sock.getsockname() == first
    connection.close()


def test_head_has_no_body(service: Service) -> None:
    answer = service.raw(b"HEAD / HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_client_that_waits_for_100_continue_gets_it(service: Service, table: str) -> None:
    head = f"POST /{table} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n".encode()
    with socket.create_connection(("127.0.0.1", service.port), timeout=2) as connection:
        connection.sendall(head + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert connection.recv(1024).startswith(b"HTTP/1.1 201 ")


def test_a_writer_that_read_an_older_record_is_told(service: Service, table: str) -> None:
    _, made, headers = service.call("POST", f"/{table}", {"n": 0})
    at, seen = f"/{table}/{made['id']}", {"If-Match": headers["ETag"]}
    assert service.call("PATCH", at, {"n": 1}, seen)[0] == 200
    for method in ("PATCH", "PUT", "DELETE"):
        status, answer, _ = service.call(method, at, {"n": 2} if method != "DELETE" else None, seen)
        assert (status, answer["error"]["code"]) == (412, "changed")
    assert service.call("GET", at)[1]["n"] == 1
    assert service.call("PUT", f"/{table}/other", {}, seen)[0] == 412


def test_no_write_of_many_at_once_is_lost(service: Service, table: str) -> None:
    service.call("PUT", f"/{table}/counter", {"n": 0})

    def add_one(_: int) -> None:
        while True:
            _, record, headers = service.call("GET", f"/{table}/counter")
            changed = {"n": record["n"] + 1}
            if service.call("PUT", f"/{table}/counter", changed, {"If-Match": headers["ETag"]})[0] == 200:
                return

    def merge(n: int) -> None:
        assert service.call("PATCH", f"/{table}/merged", {f"f{n}": n})[0] == 200

    service.call("PUT", f"/{table}/merged", {})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(24)))
        list(pool.map(merge, range(24)))
    assert service.call("GET", f"/{table}/counter")[1]["n"] == 24
    merged = service.call("GET", f"/{table}/merged")[1]
    assert {key for key in merged if key.startswith("f")} == {f"f{n}" for n in range(24)}


def test_idle_connections_do_not_hold_up_the_end(tmp_path: Path) -> None:
    running = Service.start(tmp_path / "data.db")
    with socket.create_connection(("127.0.0.1", running.port)) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
        assert b" 200 " in silent.recv(4096)
        assert running.end(signal.SIGTERM) == 0
        assert silent.recv(1) == b""


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    running = Service.start(tmp_path / "data.db")
    made = [running.call("POST", "/todos", {"n": n})[1] for n in range(10)]
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    again = Service.start(tmp_path / "data.db")
    assert again.call("GET", "/todos")[1] == made
    assert again.end(signal.SIGTERM) == 0
    assert not (tmp_path / "data.db-wal").exists()  # folded into the one file


def test_a_write_that_the_disk_refuses_changes_nothing(tmp_path: Path) -> None:
    running = Service.start(tmp_path / "data.db")
    kept = running.call("POST", "/todos", {"n": 1})[1]
    unlimited = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    status, answer, _ = running.call("POST", "/todos", {"text": "x" * 100_000})
    assert (status, answer["error"]["code"]) == (503, "storage")
    assert running.call("GET", "/todos")[1] == [kept]
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert running.call("POST", "/todos", {"n": 3})[0] == 201
    running.end(signal.SIGTERM)


def test_a_database_that_cannot_be_opened_ends_with_a_word(tmp_path: Path) -> None:
    command = [sys.executable, str(SERVER), "--host", "127.0.0.1", "--port", "0", "--db", str(tmp_path / "no" / "db")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=15, env=dict(os.environ))
    assert ended.returncode == 1
    assert "cannot serve" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_says_that_it_is_ready_once_it_answers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as host:
        host.bind(str(tmp_path / "ready.sock"))
        host.listen(1)
        host.settimeout(15)
        running = Service.start(tmp_path / "data.db", "--ready", str(tmp_path / "ready.sock"))
        host.accept()[0].close()
    assert running.call("GET", "/")[0] == 200
    assert running.end(signal.SIGTERM) == 0
