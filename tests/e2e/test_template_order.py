"""The template `order`, as its README tells it: the same order as a workflow and as a durable function."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TEMPLATES = Path(__file__).parents[2] / "templates"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with rig.desk(TEMPLATES / "order") as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


def said(served: Running, id: int) -> list[str]:
    """What the functions did for an order, by name."""
    texts = [line.get("text", "") for name in ("stock", "payment", "shipping") for line in served.desk.lines(name)]
    return sorted(text.split()[0] for text in texts if text.endswith(f"for {id}"))


def order(product: str, id: int, card: str = "4242") -> bytes:
    return json.dumps({"id": id, "product": product, "card": card}).encode()


def test_an_order_is_shipped_either_way(served: Running) -> None:
    flow = served.call("", "_fnctl/workflows/order-flow", method="POST", body=order("tea", 1))
    assert (flow.status, flow.json) == (200, {"state": "shipped", "receipt": "r-1"})
    code = served.call("order", method="POST", body=order("tea", 2))
    assert (code.status, code.json) == (200, {"state": "shipped", "receipt": "r-2"})
    done = ["charge", "reserve", "ship"]
    until(lambda: [said(served, id) for id in (1, 2)] == [done, done], "what was done for both orders")


def test_what_cannot_be_shipped_is_undone_either_way(served: Running) -> None:
    flow = served.call("", "_fnctl/workflows/order-flow", method="POST", body=order("piano", 3))
    assert (flow.status, "too large" in flow.json["detail"]) == (409, True)
    code = served.call("order", method="POST", body=order("piano", 4))
    assert (code.status, code.json["state"], "too large" in code.json["failed"]) == (200, "undone", True)
    done = ["charge", "refund", "release", "reserve", "ship"]
    until(lambda: [said(served, id) for id in (3, 4)] == [done, done], "what was undone of both orders")
