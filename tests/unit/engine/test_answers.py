"""What Docker answers, cut anywhere, as values."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.engine import answers
from fnctl.engine.one_shot import Tail
from fnctl.engine.port import Event


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    """The bytes in pieces, as a network may bring them."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return (data[start:end] for start, end in itertools.pairwise(edges))


def framed(parts: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">B3xL", stream, len(part)) + part for stream, part in parts)


@given(st.lists(st.tuples(st.integers(1, 2), st.binary(max_size=40))), st.lists(st.integers(0, 500)))
def test_frames_give_their_payload_however_they_are_cut(parts: list[tuple[int, bytes]], places: list[int]) -> None:
    payloads = list(answers.payloads(cut(framed(parts), places)))

    for stream in (1, 2):
        whole = b"".join(part for of, part in parts if of == stream)
        assert b"".join(part for of, part in payloads if of == stream) == whole


def test_a_line_holds_nothing_of_the_other_stream() -> None:
    parts = [(1, b"one\nthr"), (2, b"two\n"), (1, b"ee"), (2, b"err")]

    assert list(answers.output_lines(parts)) == [b"one", b"two", b"three", b"err"]


def test_an_endless_line_of_a_stream_comes_in_pieces() -> None:
    assert list(answers.output_lines([(1, b"x" * 25)], limit=10)) == [b"x" * 10, b"x" * 10, b"x" * 5]


@given(st.lists(st.binary(max_size=20).filter(lambda b: not set(b) & {10, 13})), st.lists(st.integers(0, 500)))
def test_lines_are_the_same_however_they_are_cut(parts: list[bytes], places: list[int]) -> None:
    stream = b"".join(part + b"\n" for part in parts)

    assert list(answers.lines(cut(stream, places))) == parts


def test_a_line_without_end_comes_in_pieces() -> None:
    assert list(answers.lines([b"x" * 25], limit=10)) == [b"x" * 10, b"x" * 10, b"x" * 5]


def test_messages_are_told_apart_and_blank_lines_left_out() -> None:
    assert list(answers.json_lines([b'{"a": 1}\r\n\r\n{"b"', b": 2}\r\n"])) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("base", ("base", "latest")),
        ("base:1", ("base", "1")),
        ("localhost:5000/base", ("localhost:5000/base", "latest")),
        ("localhost:5000/team/base:1", ("localhost:5000/team/base", "1")),
    ],
)
def test_references(reference: str, expected: tuple[str, str]) -> None:
    assert answers.split_reference(reference) == expected


def test_events_of_other_kinds_are_not_told() -> None:
    attributes = {"dev.fnctl": "1", "exitCode": "3"}
    actor = {"ID": "c1", "Attributes": attributes}

    assert answers.event({"Action": "die", "Actor": actor}) == Event("die", "c1", attributes, 3)
    assert answers.event({"Action": "exec_start", "Actor": actor}) is None
    assert answers.event({"Action": "die"}) is None


def test_what_the_engine_does_not_say_is_not_in_the_figures() -> None:
    cgroup2 = {"memory_stats": {"usage": 2097152}, "cpu_stats": {"cpu_usage": {"total_usage": 5_000_000}}}

    assert answers.figures(cgroup2) == {"memory_mb": 2.0, "cpu_ms": 5.0}


def test_the_tail_of_an_output_is_kept_and_the_cut_is_told() -> None:
    tail = Tail(limit=10)
    tail.add(b"0123456789")
    assert tail.text() == "0123456789"
    for _ in range(5):
        tail.add(b"abcde")

    assert tail.text() == "[… output cut …]\nabcdeabcde"
