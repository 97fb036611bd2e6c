"""What a request of the bench says."""

from __future__ import annotations

from fnctl.bench.calls import Target


def test_a_target_says_its_method_and_fields() -> None:
    target = Target(("127.0.0.1", 1), "a", "/x", "POST", (("Prefer", "respond-async"),))
    line, *fields, _, _ = target.request().split(b"\r\n")
    assert line == b"POST /x HTTP/1.1"
    assert fields[-2:] == [b"Prefer: respond-async", b"Content-Length: 0"]
    assert target.request("GET").startswith(b"GET /x")
    assert b"Content-Length" not in Target(("127.0.0.1", 1), "a").request()
