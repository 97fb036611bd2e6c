"""Code of an ephemeral invocation that tries to be taken for its agent: it never gets the next client's request, and
leaves nothing changed for it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.rig import Running

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

TRIES = int(os.environ.get("TRIES", "24"))  # of each function; `make faults` plays 200


@pytest.mark.parametrize("function", ["takeover", "takeover-python"])
def test_nobody_inside_is_taken_for_the_agent(fnctl: Running, function: str) -> None:
    """A thief parks connections, stops and kills the template, and speaks in its place: with tricks of scheduling that
    would give it more time (odd tries), and without."""
    usual = fnctl.call(function).json
    with ThreadPoolExecutor(1) as pool:
        for number in range(TRIES):
            thief = pool.submit(fnctl.call, function, f"/?steal={number % 2}")
            assert thief.result().body == b"stolen from"
            answer = fnctl.call(function, headers={"X-Secret": f"secret {number}"})
            assert b"stolen" not in answer.body, f"try {number}"
            assert (answer.status, answer.json) == (200, {**usual, "secret": f"secret {number}"}), f"try {number}"
