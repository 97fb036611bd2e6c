"""What differs between what runs and what the files ask for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from fnctl.control.change_lock import Turns
from fnctl.control.changes import Applied, Change, applied, change, compare
from fnctl.model import Auth, Function, HttpTrigger, Network, Scale, Secret

ONE = Function(name="one", path=Path("/p"), runtime="node24", handler="a.b")


def test_what_an_entrys_keys_ask_for() -> None:
    assert change(None, ONE) is Change.NEW
    assert change(ONE, replace(ONE)) is Change.NONE
    for rules in ({"triggers": (HttpTrigger("/x"),)}, {"auth": Auth.KEY}, {"queue": 1}, {"scale": Scale(1, 2)}):
        assert change(ONE, replace(ONE, **rules)) is Change.RULES
    for instances in (
        {"environment": (("A", "1"),)},
        {"memory_mb": 512},
        {"timeout_s": 1.0},
        {"network": Network.EGRESS},
    ):
        assert change(ONE, replace(ONE, **instances)) is Change.INSTANCES
    for bundle in ({"path": Path("/q")}, {"handler": "c.d"}, {"runtime": "python3.13"}, {"private": ("x",)}):
        assert change(ONE, replace(ONE, **bundle)) is Change.BUNDLE


def test_the_line_of_a_secret_is_no_change_but_what_it_holds_is() -> None:
    secret = Secret("s", Path("/s"), None, Path("/.env"), "fnctl.yaml:3")
    old, new = replace(ONE, secrets=(secret,)), replace(ONE, secrets=(replace(secret, declared="fnctl.yaml:4"),))
    assert change(old, new) is Change.NONE
    assert compare({"one": old}, [new], {"one": b"1"}, {"one": b"1"}) == ({"one": Change.NONE}, ())
    assert compare({"one": old}, [new], {"one": b"1"}, {"one": b"2"}) == ({"one": Change.INSTANCES}, ())


def test_what_was_applied_in_words() -> None:
    two = replace(ONE, name="two")
    changes, removed = compare({"one": ONE, "gone": ONE}, [replace(ONE, queue=5), two], {}, {})
    assert str(applied(changes, removed)) == "added two; changed one; removed gone"
    assert not Applied(notes=("x",))
    assert str(Applied()) == "nothing has changed"


def test_who_is_alone_waits_for_the_others_and_goes_first() -> None:
    async def story() -> list[str]:
        turns, said, gate = Turns(), list[str](), asyncio.Event()

        async def share(name: str) -> None:
            async with turns.shared():
                said.append(f"{name} begins")
                await gate.wait()
                said.append(f"{name} ends{' with another' if turns.others else ''}")

        async def alone() -> None:
            async with turns.alone():
                said.append("alone")

        first = [asyncio.create_task(share("a")), asyncio.create_task(share("b"))]
        await asyncio.sleep(0)
        lone = asyncio.create_task(alone())
        await asyncio.sleep(0)
        late = asyncio.create_task(share("c"))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*first, lone, late)
        return said

    assert asyncio.run(story()) == [
        "a begins", "b begins", "a ends with another", "b ends", "alone", "c begins", "c ends",
    ]  # fmt: skip
