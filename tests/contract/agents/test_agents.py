"""What every agent does, whatever its language: layers/PROTOCOL.md, asked in the real sandbox image."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest

from fnctl.protocol import messages
from tests.contract.agents.conftest import Start
from tests.contract.agents.languages import LANGUAGES, Language
from tests.contract.agents.sandbox_host import Answer, SandboxHost

pytestmark = [pytest.mark.engine, pytest.mark.timeout(60, func_only=True)]

ID = "01JCAGENTTEST0000000000000"
LISTENING = [language for language in LANGUAGES if language.serves_by_listening]


@pytest.fixture(params=LANGUAGES, ids=str)
def language(request: pytest.FixtureRequest) -> Language:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def host(start: Start, language: Language) -> SandboxHost:
    return start(language.runtime, language.files)


def again(host: SandboxHost) -> SandboxHost:
    """A new agent in the same sandbox."""
    host.supervisor.send(messages.kill())
    host.supervisor.expect("exited")
    host.boot()
    return host


def test_hello_names_protocol_and_runtime(start: Start, language: Language) -> None:
    host = start(language.runtime)
    host.supervisor.send(messages.kill())
    host.supervisor.expect("exited")
    hello = host.boot()
    assert (hello["protocol"], hello["role"], hello["runtime"]) == (1, "agent", language.runtime)


@pytest.mark.parametrize("cache", [None, b"damaged"], ids=["missing", "damaged"])
def test_a_cache_that_cannot_be_read_ahead_costs_time_only(
    host: SandboxHost, language: Language, cache: bytes | None
) -> None:
    warm = host.runtime.warm
    if warm is None or not warm.ahead:
        pytest.skip(f"{language} reads nothing ahead")
    if cache is not None:
        (host.folder / "ahead").mkdir()
        for name in ("modules.bin", "modules.json"):
            (host.folder / "ahead" / name).write_bytes(cache)
    host.agent.send(messages.read_ahead())
    host.agent.expect("ahead")
    assert host.load("events.mirror")["kind"] == "event"
    assert host.request("GET", "/x").json["event"]["path"] == "/x"


# --- event handlers ---


def test_event_and_context(host: SandboxHost) -> None:
    loaded = host.load("events.mirror")
    assert loaded["kind"] == "event"
    assert loaded["ms"] >= 0
    answer = host.request(
        "POST",
        "/a%20b?x=1&y=&x=2",
        body=json.dumps({"k": "ü"}),
        headers={
            "Content-Type": "application/json",
            "X-Fnctl-Params": "name=w%26x",
            "X-Fnctl-Deadline-Ms": "99999999999999",
        },
        invocation=ID,
    )
    event, context = answer.json["event"], answer.json["context"]
    assert (event["method"], event["path"]) == ("POST", "/a%20b")
    assert event["query"] == {"x": "2", "y": ""}
    assert event["params"] == {"name": "w&x"}
    assert event["headers"]["content-type"] == "application/json"
    assert (json.loads(event["body"]), event["json"], event["isBase64Encoded"]) == ({"k": "ü"}, {"k": "ü"}, False)
    assert (context["id"], context["function"], context["version"]) == (ID, "tested", "0123456789ab")
    assert context["left"] is True


def test_a_body_that_is_not_text_comes_in_base64(host: SandboxHost) -> None:
    host.load("events.mirror")
    event = host.request("POST", body=b"\xff\x00").json["event"]
    assert (event["body"], event["isBase64Encoded"]) == ("/wA=", True)
    assert host.request("GET").json["event"]["body"] is None


RESULTS = {
    "text": (200, "text/plain; charset=utf-8", b"plain"),
    "bytes": (200, "application/octet-stream", b"\0\1\xff"),
    "nothing": (204, None, b""),
    "items": (200, "application/json", b'[1,"two",null]'),
    "full": (201, "application/json", b'{"made":true}'),
    "base64": (200, "application/octet-stream", b"\0\1\xff"),
}


@pytest.mark.parametrize("language", LANGUAGES, ids=str)
def test_every_kind_of_result(host: SandboxHost) -> None:
    got: dict[str, tuple[int, str | None, bytes]] = {}
    for name in RESULTS:
        again(host).load(f"events.{name}")
        answer = host.request()
        got[name] = (answer.status, answer.headers.get("content-type"), answer.body)
        assert host.request().status == answer.status, "the connection carries a second request"
    assert got == RESULTS


@pytest.mark.parametrize(
    ("name", "status", "code", "says"),
    [
        ("raises", 500, "crash", "it broke"),
        ("bad_status", 502, "bad_response", "999"),
        ("bad_json", 502, "bad_response", "JSON"),
        ("bad_header", 502, "bad_response", "X-A"),
    ],
)
def test_failures_are_told_apart(host: SandboxHost, name: str, status: int, code: str, says: str) -> None:
    host.load(f"events.{name}")
    answer = host.request()
    assert (answer.status, answer.headers["x-fnctl-error"]) == (status, code)
    assert says in answer.json["error"]["message"]
    assert "x-evil" not in answer.headers
    host.logs.wait_for(says)


def test_a_handler_that_ends_the_process_is_told_by_the_supervisor(host: SandboxHost) -> None:
    host.load("events.dies")
    with pytest.raises((ConnectionError, OSError)):
        host.request()
    exited = host.supervisor.expect("exited")
    assert (exited["code"], exited["signal"]) == (3, 0)
    assert exited["peak_kb"] > 1000
    assert exited["cpu_ms"] > 0


def test_environment_is_the_functions_own(host: SandboxHost) -> None:
    host.load("events.env")
    assert host.request().json == {"greeting": "hëllo", "home": "/tmp", "internal": [], "cwd": "/fn/app"}


def test_lines_carry_the_invocation_that_wrote_them(host: SandboxHost) -> None:
    host.load("events.logs")
    host.request(path="/x", invocation=ID)
    assert host.logs.wait_for("one /x") == (ID, "one /x")
    assert host.logs.wait_for("two") == (ID, "two")
    assert host.logs.wait_for("three") == (ID, "three")


# --- web apps ---


@pytest.fixture
def web(host: SandboxHost, language: Language) -> SandboxHost:
    assert host.load(language.program)["kind"] == "web"
    return host


def test_web_app_runs_as_the_main_program(web: SandboxHost) -> None:
    assert web.request("PUT", "/p?q=1").body.startswith(b"PUT /p")
    assert web.logs.wait_for("listening")[1] == "listening"


def test_responses_are_the_apps_own(web: SandboxHost) -> None:
    answer = web.request(path="/head")
    assert (answer.status, answer.headers["x-kept"], answer.body) == (418, "As-Is", b"teapot")
    head = web.request("HEAD", "/head")
    assert (head.status, head.body) == (418, b"")
    assert web.request(path="/head").body == b"teapot"


@pytest.mark.parametrize("language", LISTENING, ids=str)
def test_bodies_stream_both_ways(web: SandboxHost) -> None:
    stream = web.connection
    stream.sendall(b"POST /stream HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n")
    got = b""
    while b"first\n" not in got:
        got += stream.recv(4096)
    stream.sendall(b"2\r\ngo\r\n0\r\n\r\n")
    while not got.endswith(b"0\r\n\r\n"):
        got += stream.recv(4096)
    assert b"second\n" in got


def test_large_bodies(web: SandboxHost) -> None:
    data = bytes(range(256)) * 8192
    assert web.request("POST", "/digest", body=data).body.decode() == hashlib.sha1(data).hexdigest()
    assert (
        web.request("POST", "/digest", body=iter([data, data])).body.decode() == hashlib.sha1(data + data).hexdigest()
    )
    assert len(web.request(path="/large").body) == 5_000_000


def test_a_body_that_was_not_read_does_not_harm_the_next_request(web: SandboxHost) -> None:
    assert web.request("POST", "/head", body=b"x" * 300_000).status == 418
    assert web.request(path="/head").status == 418


def test_the_end_of_a_body_that_was_not_read_may_come_with_the_next_request(web: SandboxHost) -> None:
    head = b"%s /head HTTP/1.1\r\nHost: f\r\nContent-Length: %d\r\n\r\n"
    stream = web.connection
    stream.sendall(head % (b"POST", 5) + b"xxxxx" + head % (b"GET", 0))
    got = b""
    while got.count(b"teapot") < 2:
        got += stream.recv(4096)
    assert got.count(b"HTTP/1.1 418") == 2


def test_requests_on_dialled_connections_run_at_the_same_time(web: SandboxHost) -> None:
    connections = web.dial(2)
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda on=on: answers.append(web.request(path="/barrier", on=on))) for on in connections
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [answer.body for answer in answers] == [b"both", b"both"]


def test_a_client_that_leaves_does_no_harm(web: SandboxHost) -> None:
    (connection,) = web.dial(1)
    connection.sendall(b"POST /digest HTTP/1.1\r\nHost: f\r\nContent-Length: 100\r\n\r\nhalf")
    connection.close()
    assert web.request(path="/head").status == 418


def test_an_app_that_exits(web: SandboxHost, language: Language) -> None:
    with pytest.raises((ConnectionError, OSError)):
        web.request(path="/exit")
    exited = web.supervisor.expect("exited")
    assert (exited["code"], exited["signal"]) == language.web_end


# --- loading ---


def test_a_syntax_error_names_file_and_line(host: SandboxHost, language: Language) -> None:
    host.send_load(language.broken[0])
    failed = host.agent.expect("load_failed")
    assert (failed["type"], failed["file"], failed["line"]) == (language.syntax_error, *language.broken)
    assert host.agent.receive() is None
    assert host.supervisor.expect("exited")["code"] == 1


def test_a_missing_handler_names_what_is_there(host: SandboxHost) -> None:
    host.send_load("events.missing")
    message = host.agent.expect("load_failed")["message"]
    assert "missing" in message
    assert "mirror" in message and "text" in message
    host.supervisor.expect("exited")
    host.boot()
    host.send_load("nosuch.handler")
    message = host.agent.expect("load_failed")["message"]
    assert "nosuch" in message and "events" in message


@pytest.mark.parametrize("language", LISTENING, ids=str)
def test_a_program_that_serves_nothing(host: SandboxHost, language: Language) -> None:
    name = f"idle{language.program[3:]}"
    host.place({name: ""})
    host.send_load(name)
    assert host.agent.expect("load_failed")["type"] == "NotServing"


# --- ends ---


def test_the_agent_leaves_when_the_host_hangs_up(host: SandboxHost) -> None:
    host.load("events.text")
    host.agent.close()
    assert host.supervisor.expect("exited")["code"] == 0


def test_a_function_that_hangs_is_killed(host: SandboxHost) -> None:
    host.load("events.hangs")
    threading.Thread(target=lambda: _ignore(host), daemon=True).start()
    host.logs.wait_for("hanging")
    host.supervisor.send(messages.kill())
    assert host.supervisor.expect("exited")["signal"] == 9


def _ignore(host: SandboxHost) -> None:
    try:
        host.request()
    except OSError:
        return


# --- ephemeral ---

CLEAN: dict[str, object] = {"count": 0, "leaked": None, "tmp": [], "shm": [], "processes": 0, "abstract": False}


def test_nothing_of_an_ephemeral_invocation_meets_the_next(host: SandboxHost, language: Language) -> None:
    fork = host.load("events.residue", model="ephemeral")["fork"]
    for turn in range(3):
        if turn and not fork:
            host.boot()
            host.load("events.residue", model="ephemeral")
        answer = host.request()
        assert answer.json == CLEAN, f"invocation {turn}"
        if fork:
            host.next_connection()
            done = host.agent.expect("done")
            assert (done["code"], done["signal"]) == (0, 0)
        else:
            assert host.supervisor.expect("exited")["code"] == 0
    assert fork == language.forks


def test_an_ephemeral_web_app_serves_once(host: SandboxHost, language: Language) -> None:
    fork = host.load(language.program, model="ephemeral")["fork"]
    assert host.request(path="/head").status == 418
    if fork:
        host.next_connection()
        host.agent.expect("done")
        assert host.request(path="/head").status == 418
    else:
        assert host.supervisor.expect("exited")["code"] == 0


def test_an_ephemeral_crash_is_told(host: SandboxHost) -> None:
    fork = host.load("events.dies", model="ephemeral")["fork"]
    with pytest.raises((ConnectionError, OSError)):
        host.request()
    ended = host.agent.expect("done") if fork else host.supervisor.expect("exited")
    assert (ended["code"], ended["signal"]) == (3, 0)
