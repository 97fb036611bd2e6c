"""Frames of a shared connection: what one side writes, the other reads, however the bytes are cut; and what comes of an
agent that breaks the rules. The agent's side here is tests/contract/shared_agent.py; that of Node is in its suite."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.errors import FnctlError, ProtocolError
from fnctl.triggers.http import frames
from fnctl.triggers.http.frames import CANCEL, CLOSE, CREDIT, DATA, FRAMES_A_TURN, REQUEST, WINDOW, Asked, Decoder
from fnctl.triggers.http.shared import HEADERS_KNOWN, SharedConnection
from tests.contract.shared_agent import Asking, frame

ID = b"01M8NDPZVS000000017Y3YXF7H"
LINES = b"Host: a\r\nX-A: 1\r\n"

bodies = st.binary(max_size=300)
answers = st.lists(st.tuples(st.integers(0, 65_535), st.integers(1, 2**32 - 1), bodies), max_size=20)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


@given(answers, st.lists(st.integers(0, 40)))
def test_what_an_agent_writes_is_read_however_it_is_cut(sent: list[tuple[int, int, bytes]], sizes: list[int]) -> None:
    data = b"".join(frame(DATA if body else CLOSE, slot, number, body) for slot, number, body in sent)
    decoder = Decoder()
    read = [each for piece in cut(data, sizes) for each in decoder.feed(piece)]
    assert [(each.slot, each.number, each.payload) for each in read] == sent


@given(
    st.lists(st.tuples(st.sampled_from(sorted(frames.METHODS)), bodies, st.booleans())), st.lists(st.integers(0, 40))
)
def test_what_the_host_writes_is_read_however_it_is_cut(
    asked: list[tuple[bytes, bytes, bool]], sizes: list[int]
) -> None:
    data = frames.headers(7, LINES) + frames.cancel(3, 9) + frames.credit(3, 9, 70_000)
    for number, (method, body, length) in enumerate(asked):
        data += frames.request(5, number, Asked.of(method, b"/x?y", LINES, length=length), 7, ID, 12.7, body)
    asking = Asking()
    read = [each for piece in cut(data, sizes) for each in asking.feed(piece)]
    assert read[:2] == [(CANCEL, 3, 9, b""), (CREDIT, 3, 9, (70_000).to_bytes(4, "little"))]
    for number, (method, body, length) in enumerate(asked):
        counted = b"Content-Length: %d\r\n" % len(body) if length else b""
        head = b"%b /x?y HTTP/1.1\r\n%b%bX-Fnctl-Invocation-Id: %b\r\nX-Fnctl-Deadline-Ms: 12\r\n\r\n"
        assert read[2 + number] == (REQUEST, 5, number, head % (method, LINES, counted, ID) + body)


@pytest.mark.parametrize(
    "data",
    [
        frame(REQUEST, 0, 1, b"x"),
        frame(0, 0, 1),
        frame(DATA, 0, 1),
        frame(CLOSE, 0, 1, b"x"),
        frame(DATA, 0, 1, b"x" * (WINDOW + 1))[:20],
    ],
)
def test_what_is_no_frame_of_an_agents_is_a_breach(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(data)


def test_many_frames_are_for_more_than_one_turn() -> None:
    decoder = Decoder()
    assert len(decoder.feed(frame(CLOSE, 0, 1) * (FRAMES_A_TURN + 3))) == FRAMES_A_TURN
    assert decoder.behind
    assert len(decoder.feed(b"")) == 3
    assert not decoder.behind


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.asking = Asking()
        self.written: list[tuple[int, int, int, bytes]] = []
        self.closed = False

    def set_protocol(self, protocol: Any) -> None: ...

    def write(self, data: bytes) -> None:
        self.written += self.asking.feed(data)

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0


class Line:
    def __init__(self) -> None:
        self.number = 0
        self.told: list[Any] = []

    def line_read(self, data: bytes) -> None:
        self.told.append(data)

    def line_lost(self, unread: bool) -> None:
        self.told.append(unread)

    def line_broke(self, error: FnctlError) -> None:
        self.told.append(error.code)


def shared() -> tuple[SharedConnection, Transport]:
    transport = Transport()
    return SharedConnection(transport), transport  # type: ignore[arg-type]


def ask(made: SharedConnection, line: Line, slot: int, lines: bytes = LINES) -> int:
    line.number = made.request(slot, Asked.of(b"GET", b"/", lines, length=False), ID, 1.0, b"")
    return line.number


def test_header_lines_are_told_once_and_the_oldest_are_forgotten() -> None:
    made, transport = shared()
    line = Line()
    slot = made.enter(line)
    for lap in range(2):
        for number in range(HEADERS_KNOWN + 10):
            ask(made, line, slot, b"X: %d\r\n" % number)
            assert b"\r\nX: %d\r\n" % number in transport.written[-1][3], lap


def test_a_late_frame_of_a_request_that_is_over_is_dropped() -> None:
    made, _ = shared()
    line = Line()
    slot = made.enter(line)
    first = ask(made, line, slot)
    second = ask(made, line, slot)
    made.data_received(
        frame(DATA, slot, first, b"late") + frame(CLOSE, slot, first) + frame(DATA, slot, second, b"now")
    )
    assert line.told == [b"now"]
    made.leave(slot)
    made.data_received(frame(DATA, slot, second, b"gone"))
    assert line.told == [b"now"]


def test_more_than_any_request_may_cost_ends_the_connection() -> None:
    made, transport = shared()
    line = Line()
    slot = made.enter(line)
    number = ask(made, line, slot)
    made.data_received(frame(DATA, slot, number + 1, b"x" * WINDOW))
    assert (line.told, transport.closed) == (["protocol"], True)


@pytest.mark.parametrize(
    ("error", "cancels", "unread"),
    [
        (ConnectionResetError(), False, [False, True]),
        (ConnectionResetError(), True, [False, False]),  # what was not read may be the cancelling alone
        (None, False, [False, False]),
    ],
)
def test_only_the_last_request_is_known_to_be_unread(
    error: Exception | None, cancels: bool, unread: list[bool]
) -> None:
    made, _ = shared()
    lines = [Line(), Line()]
    slots = [made.enter(line) for line in lines]
    ask(made, lines[0], slots[0])
    made.data_received(frame(DATA, slots[0], lines[0].number, b"x"))
    for line, slot in zip(lines, slots, strict=True):
        ask(made, line, slot)
    if cancels:
        made.cancel(7, 1)
    made.connection_lost(error)
    assert [line.told[-1] for line in lines] == unread
    assert ask(made, lines[0], slots[0]) == 0


def test_a_connection_that_never_answered_may_have_read_all() -> None:
    made, _ = shared()
    line = Line()
    ask(made, line, made.enter(line))
    made.connection_lost(ConnectionResetError())
    assert line.told == [False]
