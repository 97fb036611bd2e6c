"""Ephemeral: an invocation leaves traces of every kind, and the next one finds none of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.rig import Running

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PAIRS = int(os.environ.get("PAIRS", "500"))  # of each language; `make faults` plays 5,000
CLEAN: dict[str, Any] = {"calls": 0, "environment": None, "tmp": [], "shm": [], "processes": 0, "socket": False}


@pytest.mark.parametrize(
    ("function", "calls"),
    [("residue", PAIRS), ("residue-python", PAIRS), ("residue-container", 8), ("residue-container-python", 8)],
)
def test_the_next_invocation_sees_none(fnctl: Running, function: str, calls: int) -> None:
    def found(number: int) -> Any:
        answer = fnctl.call(function)
        assert answer.status == 200, answer.body
        return answer.json

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(found, range(calls))) == [CLEAN] * calls


@pytest.mark.parametrize("function", ["once", "once-python"])
def test_each_invocation_has_a_process_of_its_own_and_its_own_answer(fnctl: Running, function: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        bodies = [f"{number}".encode() for number in range(40)]
        answers = list(pool.map(lambda body: fnctl.call(function, method="POST", body=body), bodies))
    assert [answer.json["body"].encode() for answer in answers] == bodies
    assert [answer.json["id"] for answer in answers] == [answer.id for answer in answers]
