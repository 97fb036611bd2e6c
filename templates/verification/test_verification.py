"""`fnctl test`: the workflow, with stand-ins for its functions. No Docker, and no waiting."""

import pytest

from fnctl.testing import Failure

ANN = {"address": "ann@example.org"}


@pytest.fixture
def codes(workflows):
    return workflows.mock("codes", {"code": "123456"})


def state(run):
    return run.output["state"]


def test_a_code_that_is_entered(workflows, codes):
    mailer = workflows.mock("mailer", {"sent": True})
    run = workflows.start("verification-flow", ANN)
    workflows.advance("9m")
    assert run.state == "running"
    workflows.publish("address.verified", subject="bob@example.org")
    assert run.state == "running"
    workflows.publish("address.verified", subject="ann@example.org")
    assert state(run) == "verified"
    assert mailer.calls == [{"to": "ann@example.org", "code": "123456"}]


def test_nobody_enters_it(workflows, codes):
    workflows.mock("mailer", {"sent": True})
    run = workflows.start("verification-flow", ANN)
    workflows.advance("11m")
    assert state(run) == "expired"
    assert [asked["do"] for asked in codes.calls] == ["make", "forget"]


def test_a_mail_server_that_comes_back(workflows, codes):
    mailer = workflows.mock("mailer", Failure(503), Failure(503), {"sent": True})
    run = workflows.start("verification-flow", ANN)
    workflows.advance("1m")
    assert len(mailer.calls) == 3
    workflows.publish("address.verified", subject="ann@example.org")
    assert state(run) == "verified"


def test_a_mail_server_that_stays_away(workflows, codes):
    mailer = workflows.mock("mailer", Failure(503))
    run = workflows.start("verification-flow", ANN)
    workflows.advance("9m")
    assert state(run) == "no mail"
    assert len(mailer.calls) > 5
