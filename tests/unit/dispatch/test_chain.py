"""Chains of calls: where they must end, and what they say of themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from fnctl.dispatch import chain
from fnctl.model import Function, Scale
from tests.contract.gateway_stage import app


@dataclass
class Lease:
    instance: str


@dataclass
class Link:
    id: str
    function: Function
    parent: Link | None = None
    lease: Any = None
    depth: int = 0


def function(name: str, most: int = 10, concurrency: int = 1) -> Function:
    return replace(app(name), scale=Scale(0, most), concurrency=concurrency)


def calls(*functions: Function) -> Link:
    """The last of a chain of calls; the others run, each in an instance of its own."""
    link: Link | None = None
    for number, each in enumerate(functions):
        last = number == len(functions) - 1
        link = Link(f"id-{number}", each, link, None if last else Lease(f"i-{number}"), number)
    assert link is not None
    return link


def test_a_short_chain_has_no_problem() -> None:
    assert chain.problem(calls(function("a"), function("b"), function("c"))) is None


def test_a_chain_that_goes_on_is_cut_and_shown() -> None:
    ends = calls(*[function(name) for name in "ab" * 8], function("a"))
    error = chain.problem(ends)
    assert error is not None
    assert (error.http_status, error.code) == (508, "call_loop")
    assert "a → b → a → … → b → a" in error.message
    assert ends.parent is not None
    assert chain.problem(cast(Any, ends.parent)) is None


@pytest.mark.parametrize(("most", "stands"), [(1, True), (2, False)])
def test_a_function_that_would_wait_for_its_own_instance_is_refused(most: int, stands: bool) -> None:
    one = function("a", most)
    error = chain.problem(calls(one, function("b"), one))
    assert (error is not None) is stands
    if error is not None:
        assert "a would wait for itself: a → b → a holds its only instance" in error.message


def test_an_instance_that_serves_several_at_once_has_room_for_its_own_call() -> None:
    one = function("a", 1, concurrency=16)
    assert chain.problem(calls(one, one)) is None


def test_one_trace_for_a_chain_and_a_part_for_each_call() -> None:
    last = calls(function("a"), function("b"), function("c"))
    assert last.parent is not None
    mine, callers = chain.traceparent(last).split("-"), chain.traceparent(cast(Any, last.parent)).split("-")
    assert mine[1] == callers[1]
    assert mine[2] != callers[2]
    assert [len(part) for part in mine] == [2, 32, 16, 2]
