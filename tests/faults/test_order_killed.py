"""The template `order`, whose service is killed in the middle of its orders: the next one goes on with both kinds."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fnctl.control.client import admin
from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

SEED = int(os.environ.get("SEED", "20"))
KILLS = int(os.environ.get("KILL_SEEDS", "1"))  # `make faults`: twenty
ORDER = Path(__file__).parents[2] / "templates" / "order"
STEPS = ("reserve", "charge", "ship")
DONE = ("completed", "ChainedInvokeSucceeded")


def begun(running: Running, id: int) -> list[str]:
    """One order as a workflow, and one as a durable function; the ids of their runs."""
    ids = []
    for at, path in (("", "_fnctl/workflows/order-flow"), ("order", "/")):
        body = json.dumps({"id": id, "product": "tea", "card": "4242"}).encode()
        answer = running.call(at, path, method="POST", body=body, headers={"Prefer": "respond-async"})
        assert answer.status == 202
        ids.append(answer.json["id"])
    return ids


def history(running: Running, id: str) -> list[dict[str, Any]]:
    return list(admin(running.desk.state / "admin.sock", "GET", f"/v1/runs/{id}/history")["entries"])


def shown(running: Running, id: str) -> dict[str, Any]:
    return admin(running.desk.state / "admin.sock", "GET", f"/v1/runs/{id}")


def ended(running: Running, id: str) -> bool:
    return "ended" in shown(running, id)


def killed(running: Running, watched: str, entries: int) -> None:
    """As soon as the log of a run has so many entries."""
    until(lambda: len(history(running, watched)) >= entries or ended(running, watched), "so many entries")
    running.process.kill()
    running.process.wait()
    until(lambda: not running.desk.containers(), "no container to be left")


def shipped(running: Running, id: str, number: int) -> None:
    """It ends well, and none of its steps was completed twice."""
    until(lambda: ended(running, id), f"{id} to end")
    output = shown(running, id)["output"]
    output = json.loads(output) if isinstance(output, str) else output
    assert output == {"state": "shipped", "receipt": f"r-{number}"}
    done = [each["step"] for each in history(running, id) if each["type"] in DONE and "step" in each]
    times = Counter(step.rpartition("/")[2] for step in done)
    assert [times[step] for step in STEPS] == [1, 1, 1], done


def test_the_orders_of_a_killed_service_are_shipped_by_the_next() -> None:
    random = Random(SEED)
    with rig.desk(ORDER) as desk, contextlib.ExitStack() as last:
        running = last.enter_context(rig.running(desk, warm=1))
        for number in range(KILLS):
            ids = begun(running, number)
            watched, entries = random.choice(ids), random.randrange(1, 9)
            sys.stdout.write(f"SEED={SEED}: kill {number} at {entries} entries of {watched}\n")
            killed(running, watched, entries)
            running = last.enter_context(rig.running(desk, warm=1))
            for id in ids:
                shipped(running, id, number)
        running.stop()
