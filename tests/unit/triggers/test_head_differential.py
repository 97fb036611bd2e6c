"""Heads against h11, a parser by others: what both take means the same to both, and where they differ stands by name.

A request that two parsers read in two ways is how requests are smuggled. Ours is the stricter one; all that h11 takes
and ours refuses has its reason here, and so has the little that only ours takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import h11
import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fnctl.errors import FunctionError, UsageError
from fnctl.triggers.http.head import (
    CHUNKED,
    UNTIL_CLOSE,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseParser,
    hopeless,
)

HOST = rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
ABSOLUTE = re.compile(rb"(?i:https?)://" + HOST + rb"(?:[/?][^#]*)?")
# Dropped or rewritten on the way, whatever they say: they are of this connection, or ours to say.
# Names with `_` for `-`, too: CGI-like servers read them as one.
DROPPED = re.compile(
    rb"connection|keep-alive|proxy-connection|transfer-encoding|upgrade|content-length|te|host|expect|proxy|forwarded"
    rb"|x-fnctl-.*|x-forwarded-.*".replace(b"-", b"[-_]")
)

# -- what both see -----------------------------------------------------------------------------------------------------


def ours_of(head: bytes) -> RequestHead | None:
    """What the gateway makes of it; None where it refuses, here or while it comes in."""
    if hopeless(head):
        return None
    try:
        return RequestParser().parse(head, len(head))
    except UsageError:
        return None


def theirs_of(head: bytes) -> h11.Request | None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    try:
        found = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return found if isinstance(found, h11.Request) else None


def fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    """As h11 shows them: names in small letters, values without the blanks around."""
    pairs = [line.split(b":", 1) for line in lines.split(b"\r\n") if line]
    return [(name.lower(), value.strip(b" \t")) for name, value in pairs]


def kept(theirs: h11.Request | h11.Response | h11.InformationalResponse, dropped: re.Pattern[bytes]) -> list[object]:
    """Those that are sent on. What Connection names is for this connection alone."""
    named = {
        option.strip(b" \t").lower()
        for name, value in theirs.headers
        if name == b"connection"
        for option in value.split(b",")
    } - {b"close", b"keep-alive", b"upgrade", b"te"}
    return [(name, value) for name, value in theirs.headers if not dropped.fullmatch(name) and name not in named]


def length(theirs: h11.Request | h11.Response | h11.InformationalResponse, without: int) -> int:
    said = dict(theirs.headers)
    if b"transfer-encoding" in said:
        return CHUNKED
    return int(said.get(b"content-length", without))


# -- where ours is stricter --------------------------------------------------------------------------------------------

Reason = Callable[[bytes, h11.Request], bool]
LINE_ENDS = re.compile(rb"(?<!\r)\n|\r(?!\n)")
CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def values(theirs: h11.Request, name: bytes) -> list[bytes]:
    return [value for each, value in theirs.headers if each == name]


def count(head: bytes, name: bytes) -> int:
    return len(re.findall(rb"(?im)^" + name + rb":", head))


STRICTER: dict[str, Reason] = {
    "a line that ends in LF or CR alone": lambda head, _: LINE_ENDS.search(head) is not None,
    "a control character in a value": lambda head, _: CONTROLS.search(head) is not None,
    "a field that goes on in the next line": lambda head, _: re.search(rb"\r\n[ \t]", head) is not None,
    "a version but HTTP/1.0 and 1.1": lambda _, theirs: theirs.http_version not in (b"1.0", b"1.1"),
    "a method of more than 32 characters": lambda _, theirs: len(theirs.method) > 32,
    "a fragment in the target": lambda _, theirs: b"#" in theirs.target,
    "a target that is neither a path nor a URL with a plain host": lambda _, theirs: (
        not theirs.target.startswith(b"/")
        and not ABSOLUTE.fullmatch(theirs.target)
        and (theirs.method, theirs.target) != (b"OPTIONS", b"*")
    ),
    "a Host that is no name or address with a port": lambda _, theirs: any(
        value and not re.fullmatch(HOST, value) for value in values(theirs, b"host")
    ),
    "two Content-Length fields, or a list in one": lambda head, _: (
        count(head, b"content-length") > 1 or re.search(rb"(?im)^content-length:[^\r\n]*,", head) is not None
    ),
    "a Content-Length of more than 15 digits": lambda _, theirs: any(
        len(value) > 15 for value in values(theirs, b"content-length")
    ),
    "both Transfer-Encoding and Content-Length": lambda _, theirs: bool(
        values(theirs, b"transfer-encoding") and values(theirs, b"content-length")
    ),
    "Transfer-Encoding in HTTP/1.0": lambda _, theirs: bool(
        theirs.http_version == b"1.0" and values(theirs, b"transfer-encoding")
    ),
    "two Expect fields": lambda _, theirs: len(values(theirs, b"expect")) > 1,
}
WIDER: dict[str, Callable[[bytes], bool]] = {
    # as clients send them that do not encode the letters of a path; Node's parser takes them, too
    "bytes past ASCII in a target": lambda head: re.match(rb"[^ ]+ [!-~\x80-\xff]*[\x80-\xff]", head) is not None,
}


def compare(head: bytes) -> None:
    ours, theirs = ours_of(head), theirs_of(head)
    if ours is None and theirs is None:
        hypothesis.event("both refuse")
    elif ours is None and theirs is not None:
        why = [name for name, holds in STRICTER.items() if holds(head, theirs)]
        assert why, "ours refuses what h11 takes"
        hypothesis.event(f"ours alone refuses: {why[0]}")
    elif ours is not None and theirs is None:
        assert [name for name, holds in WIDER.items() if holds(head)], "ours takes what h11 refuses"
        hypothesis.event("h11 alone refuses")
    elif ours is not None and theirs is not None:
        hypothesis.event("both take it")
        same_request(ours, theirs)


def same_request(ours: RequestHead, theirs: h11.Request) -> None:
    assert ours.method == theirs.method
    assert ours.http_1_1 is (theirs.http_version == b"1.1")
    (host,) = values(theirs, b"host") or [b""]
    if theirs.target.startswith(b"/") or theirs.target == b"*":
        assert (ours.target, ours.fields.host) == (theirs.target, host)
    else:  # the host of a URL counts, and its path is what is asked for
        assert theirs.target.lower().partition(b"://")[2].startswith(ours.fields.host.lower())
        assert (theirs.target.endswith(ours.target) and ours.target.startswith(b"/")) or ours.target[
            1:
        ] in theirs.target
        host = ours.fields.host
    said = [(b"host", host), (b"x-forwarded-host", host)] if host else []
    assert fields(ours.fields.forward) == said + kept(theirs, DROPPED)
    assert ours.fields.length == length(theirs, 0)
    if ours.http_1_1:
        asked = [
            option.strip(b" \t") for value in values(theirs, b"connection") for option in value.lower().split(b",")
        ]
        assert ours.fields.keep_alive is (b"close" not in asked)


# -- heads to read -----------------------------------------------------------------------------------------------------

TOKEN = st.text("aZ9!#$%&'*+.^_`|~-", min_size=1, max_size=8)
TEXT = st.text('aZ09 \t,;="/:()<>@é\x7f\x01\x0c', max_size=12)
NAMES = (
    "Host",
    "Content-Length",
    "content-length",
    "Transfer-Encoding",
    "Connection",
    "Expect",
    "X-Own",
    "x_own",
    "Upgrade",
)
VALUES = (
    *("a b", "u@a", "5, 5", "5,6", "+5", "-1", "0x5", "1" * 16, "1" * 21, "Chunked", "gzip, chunked", "xchunked", ""),
    *(
        "100-continue",
        "a\r\n b",
        "a,b",
        "\x0bchunked",
        "[::1]",
        "5",
        "0",
        "chunked",
        "close",
        "X-Own, close",
        "keep-alive",
    ),
)
SOUND = (
    *("Content-Length: 5", "content-length:0 ", "Transfer-Encoding:\tChunked", "Connection: close", "X-Own: é, b"),
    *(
        "Connection: X-Own , keep-alive",
        "Cookie: a=b; c",
        "X-Fnctl-Params: a",
        "x_forwarded_for: a",
        "Expect: 100-continue",
    ),
    *("TE: trailers", "Upgrade: h2c", "content_length: 3", "Empty:", "!#$%&'*+.^_`|~: \"\\", "Accept:  a,\tb "),
)
TARGET = st.one_of(
    st.text("/a0?&=%.~:@!$'()*+,;", max_size=12).map(lambda rest: "/" + rest),
    st.sampled_from(
        ["*", "/a#b", "x", "http://b/p?q", "HTTPS://b:1", "http://u@b/", "http://b?q", "a:443", "/é", "//a"]
    ),
)


@st.composite
def field(draw: st.DrawFn) -> str:
    name = draw(st.one_of(st.sampled_from(NAMES), TOKEN))
    colon = draw(st.sampled_from([":", ": ", ": ", ":\t ", " :", ""]))
    return f"{name}{colon}{draw(st.one_of(st.sampled_from(VALUES), TEXT))}"


def lines(most: int = 4) -> st.SearchStrategy[str]:
    """Most of them sound, so that many heads are taken."""
    one = st.one_of(st.sampled_from(SOUND), st.sampled_from(SOUND), st.sampled_from(SOUND), field())
    return st.lists(one, max_size=most).map(lambda found: "".join(f"{each}\r\n" for each in found))


@st.composite
def any_head(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET"] * 8 + ["POST", "OPTIONS", "get", "CONNECT", "a!#$", "A" * 33, "(", ""]))
    version = draw(
        st.sampled_from(["HTTP/1.1"] * 16 + ["HTTP/1.0"] * 4 + ["HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1"])
    )
    hosted = draw(st.sampled_from(["Host: a\r\n", "host:b:80 \r\n", "Host: [::1]\r\n"] * 4 + ["Host: u@a\r\n", ""]))
    blank = draw(st.sampled_from([" "] * 20 + ["  ", "\t"]))
    return draw(cut(f"{method} {draw(TARGET)}{blank}{version}\r\n{hosted}{draw(lines())}\r\n"))


@st.composite
def cut(draw: st.DrawFn, text: str) -> bytes:
    """As bytes, up to the first empty line; one in six with a byte too many somewhere."""
    head = bytearray(text.encode("latin-1"))
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(head)))
        head[at:at] = draw(st.sampled_from([b"\n", b"\r", b"\r\n", b" ", b"\0", b":", b"\x80", b"a"]))
    return bytes(head[: head.index(b"\r\n\r\n") + 4]) if b"\r\n\r\n" in head else bytes(head) + b"\r\n\r\n"


@settings(max_examples=300, deadline=None)
@given(any_head())
def test_a_request_is_the_same_to_both_or_refused_for_a_reason(head: bytes) -> None:
    compare(head)


EXAMPLES = {
    "a line that ends in LF or CR alone": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "a control character in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n",
    "a field that goes on in the next line": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "a version but HTTP/1.0 and 1.1": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "a method of more than 32 characters": b"A" * 33 + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment in the target": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target that is neither a path nor a URL with a plain host": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a Host that is no name or address with a port": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "two Content-Length fields, or a list in one": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
    "a Content-Length of more than 15 digits": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000\r\n\r\n",
    "both Transfer-Encoding and Content-Length": (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "Transfer-Encoding in HTTP/1.0": b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two Expect fields": b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
}


@pytest.mark.parametrize("why", STRICTER)
def test_each_reason_is_one(why: str) -> None:
    """h11 takes it, and nothing but this reason makes ours refuse it."""
    head = EXAMPLES[why]
    theirs = theirs_of(head)
    assert theirs is not None
    assert ours_of(head) is None
    assert [name for name, holds in STRICTER.items() if holds(head, theirs)] == [why]


# -- answers -----------------------------------------------------------------------------------------------------------

NOT_RETURNED = re.compile(
    rb"connection|keep-alive|proxy-connection|transfer-encoding|upgrade|content-length|x-fnctl-.*"
)
STRICTER_ANSWERS: dict[str, Callable[[bytes], bool]] = {
    "a line that ends in LF or CR alone": lambda head: LINE_ENDS.search(head) is not None,
    "a control character": lambda head: CONTROLS.search(head) is not None,
    "a field that goes on in the next line": lambda head: re.search(rb"\r\n[ \t]", head) is not None,
    "a version but HTTP/1.0 and 1.1": lambda head: re.match(rb"HTTP/1\.[01] ", head) is None,
    "a status of no class that there is": lambda head: re.match(rb"[^ ]+ [06-9]", head) is not None,
    "two Content-Length fields, or a list in one": lambda head: (
        count(head, b"content-length") > 1 or re.search(rb"(?im)^content-length:[^\r\n]*,", head) is not None
    ),
    "a Content-Length of more than 15 digits": lambda head: re.search(rb"(?i)length:[ \t]*[0-9]{16}", head) is not None,
    "both Transfer-Encoding and Content-Length": lambda head: bool(
        count(head, b"content-length") and count(head, b"transfer-encoding")
    ),
}


def answers(head: bytes) -> tuple[ResponseHead | None, h11.Response | h11.InformationalResponse | None]:
    """Ours and theirs of an answer to a GET."""
    try:
        ours = None if hopeless(head) else ResponseParser().parse(head, len(head))
    except FunctionError:
        ours = None
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.receive_data(head)
    try:
        theirs = connection.next_event()
    except h11.RemoteProtocolError:
        return ours, None
    return ours, theirs if isinstance(theirs, h11.Response | h11.InformationalResponse) else None


@st.composite
def any_answer(draw: st.DrawFn) -> bytes:
    version = draw(st.sampled_from(["HTTP/1.1"] * 16 + ["HTTP/1.0"] * 4 + ["HTTP/1.2", "http/1.1", "HTTP/1"]))
    status = draw(
        st.sampled_from(["200", "204", "304", "404", "599", "100", "103"] * 3 + ["600", "099", "20", "2000", "2x0"])
    )
    reason = draw(
        st.one_of(st.sampled_from(["", " ", " OK", " Not Found", " no\x01"]), TEXT.map(lambda text: f" {text}"))
    )
    return draw(cut(f"{version} {status}{reason}\r\n{draw(lines())}\r\n"))


@settings(max_examples=200, deadline=None)
@given(any_answer())
def test_an_answer_is_the_same_to_both_or_refused_for_a_reason(head: bytes) -> None:
    ours, theirs = answers(head)
    assert ours is None or theirs is not None, "ours takes what h11 refuses"
    if ours is None or theirs is None:
        assert theirs is None or [name for name, holds in STRICTER_ANSWERS.items() if holds(head)]
        return
    assert (ours.status, ours.reason) == (theirs.status_code, theirs.reason)
    assert ours.http_1_1 is (theirs.http_version == b"1.1")
    assert fields(ours.fields.forward) == kept(theirs, NOT_RETURNED)
    assert ours.fields.length == length(theirs, UNTIL_CLOSE)
