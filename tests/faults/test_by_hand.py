"""Someone kills, removes or pauses an instance with docker: idle ones are replaced, busy ones are told as such."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.rig import Running
from tests.support.command import docker
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

BY_HAND = [("kill",), ("rm", "-f"), ("stop", "-t", "0")]


def sandbox(fnctl: Running, function: str | None) -> str:
    """One of the function's sandboxes, once there is one that serves; None: of the pool."""
    states = ("idle", "busy", "base", "runtime")
    row = until(lambda: next((r for r in fnctl.instances(function) if r["state"] in states), None), "an instance")
    return str(row["sandbox"])


@pytest.mark.parametrize("words", BY_HAND, ids=lambda words: words[0])
def test_an_idle_instance_is_evicted_and_the_next_call_works(fnctl: Running, words: tuple[str, ...]) -> None:
    assert fnctl.call("harmless").status == 200
    docker(*words, sandbox(fnctl, "harmless"))
    for _ in range(3):
        assert fnctl.call("harmless").status == 200


@pytest.mark.parametrize("words", BY_HAND, ids=lambda words: words[0])
def test_a_busy_instance_is_a_502_that_says_so(fnctl: Running, words: tuple[str, ...]) -> None:
    fnctl.call("harmless")
    fnctl.audit()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(fnctl.call, "harmless", "/?ms=20000", timeout_s=15)
        until(lambda: any(row["in_flight"] for row in fnctl.instances("harmless")), "the call to run")
        docker(*words, sandbox(fnctl, "harmless"))
        answer = busy.result()
    assert answer.status == 502
    assert answer.error["code"] == "sandbox_lost", answer.error
    assert fnctl.call("harmless").status == 200


def test_a_pooled_instance_is_replaced(fnctl: Running) -> None:
    docker("kill", sandbox(fnctl, None))
    fnctl.audit()
    assert fnctl.call("harmless").status == 200


def test_a_paused_instance_times_out_and_is_replaced(fnctl: Running) -> None:
    fnctl.reap("hang")
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(fnctl.call, "hang")
        until(lambda: any(row["in_flight"] for row in fnctl.instances("hang")), "the call to run")
        docker("pause", sandbox(fnctl, "hang"))
        answer = busy.result()
    assert (answer.status, answer.error["code"]) == (504, "timeout")
    fnctl.audit()
    assert fnctl.call("harmless").status == 200
