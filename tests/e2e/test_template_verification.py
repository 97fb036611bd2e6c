"""The template `verification`, as its README tells it: three languages, two services, three ways to compose them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import rig
from tests.faults.rig import Answer, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TEMPLATES = Path(__file__).parents[2] / "templates"
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with rig.desk(TEMPLATES / "verification") as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


def asked(served: Running, path: str, **body: Any) -> Answer:
    return served.call("", path, method="POST", body=json.dumps(body).encode())


def mails(served: Running, address: str) -> list[dict[str, Any]]:
    return list(served.call("", f"inbox?to={address}").json)


def code(served: Running, address: str) -> str:
    """Of the one mail that came."""
    until(lambda: mails(served, address), f"a mail to {address}")
    (mail,) = mails(served, address)
    assert (mail["subject"], mail["to"]) == ("Your code", [address])
    (found,) = re.findall(r"Your code is (\d{6})\.", mail["text"])
    return str(found)


def other(code: str) -> str:
    return "000000" if code != "000000" else "111111"


def begun(served: Running, name: str, **more: Any) -> dict[str, str]:
    """Both durable ways at once: the run's id, by the address that it is about."""
    found = {}
    for at, path in (("verification", "/"), ("", "_fnctl/workflows/verification-flow")):
        address = f"{name}.{at}@example.org"
        body = json.dumps({"address": address, **more}).encode()
        begun = served.call(at, path, method="POST", body=body, headers=ASYNC)
        assert begun.status == 202
        found[address] = begun.json["id"]
    return found


def output(served: Running, id: str) -> Any:
    """Once it has ended."""
    found: list[Any] = []

    def ended() -> bool:
        said = json.loads(served.desk.fnctl("workflow", "show", id, "-o", "json").stdout).get("output")
        found.extend([said] if said is not None else [])
        return bool(found)

    until(ended, f"{id} to end")
    return json.loads(found[0]) if isinstance(found[0], str) else found[0]  # an execution's is JSON as text


def test_a_code_is_sent_and_entered(served: Running) -> None:
    sent = asked(served, "send", address="ann@example.org")
    assert (sent.status, sent.json["sent"]) == (202, True)
    right = code(served, "ann@example.org")
    wrong = asked(served, "verify", address="ann@example.org", code=other(right))
    assert (wrong.status, wrong.json["verified"], wrong.json["tries_left"]) == (403, False, 4)
    entered = asked(served, "verify", address="ann@example.org", code=right)
    assert (entered.status, entered.json["verified"]) == (200, True)
    again = asked(served, "verify", address="ann@example.org", code=right)
    assert (again.status, again.json["verified"]) == (404, False)


def test_a_code_expires_and_can_be_guessed_five_times(served: Running) -> None:
    assert asked(served, "send", address="eve@example.org").status == 202
    right = code(served, "eve@example.org")
    left = [asked(served, "verify", address="eve@example.org", code=other(right)).json["tries_left"] for _ in range(5)]
    assert left == [4, 3, 2, 1, 0]
    assert asked(served, "verify", address="eve@example.org", code=right).status == 403
    assert asked(served, "send", address="eve@example.org", valid_s=0).status == 202
    until(
        lambda: asked(served, "verify", address="eve@example.org", code=right).status == 410,
        "the code to expire",
    )


def test_without_a_mail_server_it_says_so_and_the_durable_ones_try_again(served: Running) -> None:
    assert asked(served, "send", address="kay@example.org").status == 202
    before = code(served, "kay@example.org")
    assert served.call("", "inbox/down", method="PUT").json["smtp"] == "down"
    refused = asked(served, "send", address="bob@example.org")
    assert (refused.status, refused.json["sent"]) == (503, False)
    assert "try again" in refused.json["message"]
    assert asked(served, "verify", address="bob@example.org", code="123456").status == 404
    assert asked(served, "verify", address="kay@example.org", code=before).status == 200
    waiting = begun(served, "cy")

    def tried() -> set[str]:
        texts = [line.get("text", "") for line in served.desk.lines("mailer")]
        return {address for address in waiting if any(f"no mail to {address}" in text for text in texts)}

    until(lambda: tried() == set(waiting), "both durable ones to have tried")
    assert served.call("", "inbox/down", method="DELETE").json["smtp"] == "up"
    for address, id in waiting.items():
        assert asked(served, "verify", address=address, code=code(served, address)).status == 200
        assert output(served, id) == {"address": address, "state": "verified"}


def test_the_durable_ones_see_that_nobody_came(served: Running) -> None:
    for address, id in begun(served, "dee", valid_s=0).items():
        assert output(served, id) == {"address": address, "state": "expired"}
