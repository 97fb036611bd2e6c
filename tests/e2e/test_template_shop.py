"""The template that composes functions, as its README tells it: a page from three functions, an order in steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Answer, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TEMPLATES = Path(__file__).parents[2] / "templates"


@pytest.fixture(scope="module")
def shop() -> Iterator[Running]:
    with rig.desk(TEMPLATES / "shop") as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


def order(shop: Running, **asked: str) -> Answer:
    # Its own route, which is no function's name.
    return shop.call("order", "", method="POST", body=json.dumps(asked).encode())


def test_the_page_has_the_data_of_all_three(shop: Running) -> None:
    for name in ("products", "stock", "reviews"):
        shop.call(name, "/?product=tea")  # started, so that no part of the page is late however busy the machine is
    page = shop.call("", "?product=tea")
    assert page.status == 200
    text = page.body.decode()
    assert all(part in text for part in ("Green tea", "4.90 €", "In stock: 12", "<li>Fresh.</li>"))
    assert "Sencha" not in text
    assert shop.call("", "?product=nothing").status == 404

    def made() -> bool:
        names = ("products", "stock", "reviews")
        return all(any(line.get("parent") == page.id for line in shop.desk.lines(name)) for name in names)

    until(made, "a receipt of each call, which names the page's")


def test_the_page_does_without_what_is_slow(shop: Running) -> None:
    page = shop.call("", "?product=tea&slow=1")
    assert page.status == 200
    text = page.body.decode()
    assert "Green tea" in text
    assert "Reviews are not available" in text


def test_an_order_goes_through(shop: Running) -> None:
    done = order(shop, product="tea", card="4242")
    assert done.status == 201
    assert done.json["receipt"] == f"r-{done.json['order']}"


@pytest.mark.parametrize(
    ("asked", "failed", "undone"),
    [
        ({"product": "tea", "card": "0000"}, "payment: declined", 1),
        ({"product": "cup", "card": "4242"}, "stock: out of stock", 0),
    ],
)
def test_an_order_that_fails_is_undone(shop: Running, asked: dict[str, str], failed: str, undone: int) -> None:
    answer = order(shop, **asked)
    assert answer.status == 409
    assert (answer.json["failed"], answer.json["undone"]) == (failed, undone)
    if undone:
        until(
            lambda: any("/release tea" in line.get("text", "") for line in shop.desk.lines("stock")),
            "the reservation to be released",
        )
