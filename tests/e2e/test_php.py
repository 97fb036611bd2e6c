"""PHP as its users write it: a page with its session and files, handlers of our own and of Function Compute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120, func_only=True)]

PROJECT = Path(__file__).parents[1] / "fixtures" / "php"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with rig.desk(PROJECT) as desk, rig.running(desk, "--allow-host", "shop.example", warm=1) as running:
        yield running
        running.stop()


def test_a_page_has_its_superglobals_headers_and_session(served: Running) -> None:
    first = served.call("pages", "/a/b?x=1&y[]=2", headers={"Host": "shop.example"})
    assert (first.status, first.headers["Content-Type"]) == (200, "application/json")
    assert (first.json["path"], first.json["get"]) == ("/a/b", {"x": "1", "y": ["2"]})
    assert first.json["client"] == "127.0.0.1"
    cookies = first.headers.get_all("Set-Cookie") or []
    assert any(cookie.startswith("theme=dark") for cookie in cookies)
    session = next(cookie.partition(";")[0] for cookie in cookies if cookie.startswith("PHPSESSID"))
    again = served.call("pages", headers={"Cookie": session})
    assert (again.json["visits"], again.json["globals"]) == (2, False)
    until(lambda: any(row.get("text") == "page for /" for row in served.desk.lines("pages")), "the page's line")
    line = next(row for row in served.desk.lines("pages") if row.get("text") == "page for /")
    assert line["id"] == again.id


def test_forms_and_uploads(served: Running) -> None:
    form = served.call(
        "pages", method="POST", body=b"a=1&b=c+d", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (form.status, form.json["post"], form.json["raw"]) == (201, {"a": "1", "b": "c d"}, 9)
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
        b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n1\r\n--x--\r\n'
    )
    upload = served.call("pages", method="POST", body=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (upload.json["upload"], upload.json["post"]) == ("hello", {"n": "1"})
    large = served.call("pages", method="PUT", body=b"x" * 12_000_000)
    assert large.json["raw"] == 12_000_000


def test_files_beside_the_page(served: Running) -> None:
    style = served.call("pages", "/style.css")
    assert (style.headers["Content-Type"], style.body) == ("text/css; charset=UTF-8", b"body { color: green }\n")
    assert served.call("pages", "/about.php/more").body == b"about /about.php /more"
    hidden = served.call("pages", "/.notes").json
    assert hidden["path"] == "/.notes", "the front controller's, as what is not there"


def test_a_page_that_throws_is_phps_own_500_and_in_the_log(served: Running) -> None:
    answer = served.call("pages", "/?fail=1")
    assert (answer.status, answer.body) == (500, b"")
    until(
        lambda: any("it broke in /fn/app/index.php:6" in row.get("text", "") for row in served.desk.lines("pages")),
        "the error",
    )


def test_an_ephemeral_page_keeps_no_session(served: Running) -> None:
    first = served.call("pages-once")
    (session,) = [c.partition(";")[0] for c in first.headers.get_all("Set-Cookie") or [] if c.startswith("PHPSESSID")]
    assert served.call("pages-once", headers={"Cookie": session}).json["visits"] == 1


def test_event_handlers_in_both_models(served: Running) -> None:
    answers = [served.call("event", "/x?name=ann").json for _ in range(2)]
    assert [answer["calls"] for answer in answers] == [1, 2]
    assert answers[0]["name"] == "ann"
    assert [served.call("event-once").json["calls"] for _ in range(2)] == [1, 1]


def test_function_compute_handlers(served: Running) -> None:
    answer = served.call("fc-event", method="POST", body=b"ping")
    assert answer.body.decode() == f"hello ping {answer.id} fc-event"
    failed = served.call("fc-event", method="POST", body=b"fail")
    assert (failed.status, failed.error["code"]) == (502, "crash")
    assert "no such event" in failed.error["message"]
    until(
        lambda: any("[INFO] initializing" in row.get("text", "") for row in served.desk.lines("fc-event")), "its logger"
    )
    http = served.call("fc-http", "/p/q?a=1", method="POST", body=b"body", headers={"User-Agent": "tested"})
    assert (http.status, http.headers["custom_header1"], http.headers.get_all("custom_header2")) == (
        202,
        "v1",
        ["v2", "v3"],
    )
    told = http.json
    assert (told["method"], told["path"], told["queries"], told["requestURI"]) == (
        "POST",
        "/p/q",
        {"a": "1"},
        "/p/q?a=1",
    )
    assert (told["clientIP"], told["body"], told["agent"]) == ("127.0.0.1", "body", "tested")


def test_a_mistake_is_told_with_file_and_line(served: Running) -> None:
    answer = served.call("broken")
    assert answer.error["code"] == "load"
    assert "index.php:3" in answer.error["message"]
