"""A compiled language that is a folder under layers/: Go's handlers, a program as it is, its compiler's errors."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnctl.builder.archive import SINGLE
from tests.faults import rig
from tests.faults.rig import Running
from tests.support.command import docker
from tests.support.container import Container
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300, func_only=True)]

PROJECT = Path(__file__).parents[1] / "fixtures" / "go"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with rig.desk(PROJECT) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


def test_an_http_handler_in_both_models(served: Running) -> None:
    first, second = (served.call("web", "/a/b?x=1") for _ in range(2))
    assert (first.status, first.body) == (200, b"GET /a/b from 127.0.0.1")
    assert (first.headers["X-Served"], second.headers["X-Served"]) == ("1", "2")
    assert served.call("web", "/size", method="POST", body=b"x" * 3_000_000).body == b"3000000"
    until(lambda: any(row.get("text") == "serving /a/b" for row in served.desk.lines("web")), "the handler's line")
    assert next(row for row in served.desk.lines("web") if row.get("text") == "serving /a/b")["id"] == first.id
    assert [served.call("web-once").headers["X-Served"] for _ in range(2)] == ["1", "1"]


def test_an_event_handler(served: Running) -> None:
    def asked(a: int) -> rig.Answer:
        body = json.dumps({"a": a, "b": 2}).encode()
        return served.call("event", method="POST", body=body, headers={"Content-Type": "application/json"})

    answer = asked(1)
    assert answer.json == {"sum": 3, "id": answer.id, "bounded": True}
    failed, nonsense = asked(-1), asked(0)
    assert (failed.error["code"], nonsense.error["code"]) == ("crash", "bad_response")
    assert "no negative numbers" in failed.error["message"] and "999" in nonsense.error["message"]


def test_a_program_that_is_not_needed_any_more_is_told_and_ends_in_order(served: Running) -> None:
    assert served.call("brief").status == 200

    def said(*texts: str) -> bool:
        lines = [row.get("text", "") for row in served.desk.lines("brief")]
        return all(any(text in line for line in lines) for text in texts)

    until(lambda: said("told to end", "after SIGTERM, exit code 0"), "its goodbye")


def test_a_handler_that_panics_and_one_that_exits(served: Running) -> None:
    panicked = served.call("web", "/panic")
    assert (panicked.status, panicked.error["code"]) == (502, "crash")
    assert "it broke" in panicked.error["message"]
    ended = served.call("web", "/exit")
    assert "exit code 3" in ended.error["message"]
    until(lambda: any("handlers.go:31" in row.get("text", "") for row in served.desk.lines("web")), "the stack")
    assert served.call("web").status == 200


def test_a_main_package_as_it_is_and_a_vendored_module(served: Running) -> None:
    host = {"Host": f"server.localhost:{served.port}"}
    answer = served.call("server", headers=host)
    assert answer.body.decode() == f"main server.localhost:{served.port}"
    assert served.call("vendored").body == b"hello from a vendored module"


def test_a_function_that_is_not_there(served: Running) -> None:
    error = served.call("missing").error
    assert error["code"] == "load"
    assert "Nothing" in error["message"] and "Handle, Sum" in error["message"]


def test_a_compile_error_is_shown_with_file_and_line_and_the_version_before_stays(served: Running) -> None:
    source = served.desk.project / "vendored" / "handle.go"
    source.write_text(source.read_text().replace("greeting.Text", "greeting.Test"))
    failed = served.desk.fnctl("build", "vendored")
    assert failed.returncode == 1
    assert "compiling vendored failed" in failed.stderr
    assert "handle.go:11:29: undefined: greeting.Test" in failed.stderr
    assert served.call("vendored").status == 200


def test_a_shipped_image_serves_and_has_no_compiler(served: Running) -> None:
    built = served.desk.fnctl("build", "web", "-o", "json")
    assert built.returncode == 0, built.stderr
    image = json.loads(built.stdout)[0]["image"]
    container = docker("run", "-d", "-p", "127.0.0.1::9000", "-e", "PORT=9000", "--label", "dev.fnctl=1", image).strip()
    try:
        address = docker("port", container, "9000/tcp").splitlines()[0]

        def answered() -> bool:
            try:
                return bool(urllib.request.urlopen(f"http://{address}/x", timeout=10).read() == b"GET /x from ")
            except OSError:
                return False

        until(answered, "the image to serve")
        assert docker("exec", container, "sh", "-c", "ls /usr/lib | grep go-1 || true") == ""
    finally:
        docker("rm", "-f", container)
    an_ephemeral_one_is_started_for_each_call(image)


def an_ephemeral_one_is_started_for_each_call(image: str) -> None:
    said = json.loads(docker("inspect", "-f", "{{json .Config}}", image))
    load = json.loads(next(pair for pair in said["Env"] if pair.startswith("FNCTL_LOAD=")).partition("=")[2])
    load |= {"model": "ephemeral", "address": "127.0.0.1"}
    container = docker(
        "run", "-d", "-p", "127.0.0.1::9000", "-e", "PORT=9000", "-e", f"FNCTL_LOAD={json.dumps(load)}",
        "--label", "dev.fnctl=1", "--entrypoint", SINGLE[0], image, *SINGLE[1:], *said["Entrypoint"],
    ).strip()  # fmt: skip
    try:
        served = Container(container)
        assert served.request("GET", "/x")[0] == 200
        before = docker("top", container, "-o", "pid").splitlines()[-1]
        assert [served.request("GET", "/x")[0] for _ in range(2)] == [200, 200]
        until(lambda: before not in docker("top", container, "-o", "pid").splitlines(), "another process")
        assert served.stop() == 0
    finally:
        docker("rm", "-f", container)
