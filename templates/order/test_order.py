"""`fnctl test`: the workflow, with stand-ins for its functions. No Docker, and no waiting."""

import pytest

from fnctl.testing import Failure

ORDER = {"id": 7, "product": "tea", "card": "4242"}


@pytest.fixture
def stock(workflows):
    return workflows.mock("stock", {"done": True})


def done(mock):
    return [asked["do"] for asked in mock.calls]


def test_an_order_is_shipped(workflows, stock):
    payment, shipping = workflows.mock("payment", {"receipt": "r-7"}), workflows.mock("shipping", {})
    run = workflows.start("order-flow", ORDER)
    assert run.output == {"state": "shipped", "receipt": "r-7"}
    assert (done(stock), done(payment), done(shipping)) == (["reserve"], ["charge"], ["ship"])


def test_what_was_done_is_undone_if_it_cannot_be_shipped(workflows, stock):
    payment = workflows.mock("payment", {"receipt": "r-7"})
    workflows.mock("shipping", Failure(409, "too large"))
    run = workflows.start("order-flow", ORDER)
    assert run.state == "faulted"
    assert run.error["status"] == 409
    assert (done(stock), done(payment)) == (["reserve", "release"], ["charge", "refund"])


def test_nothing_is_refunded_that_was_not_paid(workflows, stock):
    payment = workflows.mock("payment", Failure(402, "declined"))
    assert workflows.start("order-flow", ORDER).state == "faulted"
    assert (done(stock), done(payment)) == (["reserve", "release"], ["charge"])


def test_a_payment_that_is_down_is_tried_again(workflows, stock):
    payment = workflows.mock("payment", Failure(503), Failure(503), {"receipt": "r-7"})
    workflows.mock("shipping", {})
    run = workflows.start("order-flow", ORDER)
    assert run.state == "running"
    workflows.advance("10s")
    assert run.output["receipt"] == "r-7"
    assert len(payment.calls) == 3
