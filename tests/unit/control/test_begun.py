"""What began in a version and has not ended keeps that version, and finds it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from fnctl.control.alias_shares import VersionDown, shares
from fnctl.control.begun import Begun, Open, busy
from fnctl.control.prepare import Prepared
from fnctl.control.versions import KEPT, History, alias_of
from fnctl.errors import LoadError
from fnctl.model import Function, SiteKey
from fnctl.triggers.http.routes import Routes
from tests.unit.control.test_versions import version


def deployed(*words: str) -> History:
    """The first at 10, the next at 20, and so on."""
    history = History()
    for at, word in enumerate(words, 1):
        history, _ = history.having(version(word), 10.0 * at)
    return history


def test_a_call_belongs_to_the_version_that_served_when_it_was_accepted() -> None:
    history = deployed("a", "b", "a")
    assert [history.serving_at(at) for at in (5.0, 10.0, 19.9, 20.0, 30.0, 99.0)] == [None, 1, 1, 2, 1, 1]
    assert history.switched == 30.0
    assert history.serving_since(25.0) == {1, 2}
    assert history.pointing(1, 40.0) is history, "nothing took over"
    assert history.adding(version("c"))[0].turns == history.turns


def test_what_has_not_ended_holds_its_versions() -> None:
    history = deployed("a", "b", "c")
    assert busy(history, Open()) == frozenset()
    assert busy(history, Open(oldest=35.0)) == frozenset()
    assert busy(history, Open(oldest=15.0)) == {1, 2}
    runs = frozenset({("web", "sha256:bundle-a"), ("web", "sha256:bundle-c"), ("web", "gone")})
    assert busy(history, Open(bundles=runs)) == {1}


def test_a_version_that_is_busy_is_kept_and_forgotten_when_it_is_not() -> None:
    history = replace(deployed("a", "b"), busy=frozenset({1}))
    for at in range(KEPT + 5):
        history, _ = history.having(version(f"n{at}"), 100.0 + at)
    assert [each.number for each in history.versions][:2] == [1, 8]
    assert replace(history, busy=frozenset()).bounded().versions[0].number == 8


class Loaded:
    """Versions that are loaded, as far as Begun looks at them."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.live: dict[int, Prepared] = {}
        self.begun = Begun(lambda: self.history, lambda: self.live, self.load)

    async def load(self, number: int) -> None:
        if number == 3:
            raise LoadError("version 3 is broken")
        self.live[number] = made(number)


def made(number: int, name: str = "web") -> Prepared:
    code: Any = type(
        "Code", (), {"function": Function(name, Path("/"), "node24", ""), "site": SiteKey(name, f"{number}")}
    )
    return cast(Prepared, type("Prepared", (), {"codes": (code,)}))


def test_it_is_served_in_its_version_which_is_loaded_where_it_is_not() -> None:
    async def story() -> None:
        there = Loaded(deployed("a", "b", "c", "d"))
        begun = there.begun
        assert [begun.is_current(at) for at in (39.0, 40.0)] == [False, True]
        found = await begun.since("web", 12.0)
        assert found is not None and found.site == SiteKey("web", "1")
        assert await begun.since("web", 32.0) is None, "it does not load: the current one serves"
        assert await begun.since("web", 42.0) is None
        assert await begun.since("other", 12.0) is None
        found = await begun.of("web", "sha256:bundle-b")
        assert found is not None and found.site == SiteKey("web", "2")
        for digest in ("", "sha256:bundle-d", "sha256:nowhere"):
            assert await begun.of("web", digest) is None
        assert begun.left("web") is not None and begun.left("other") is None

    asyncio.run(story())


def test_an_alias_goes_on_without_a_version_that_does_not_load() -> None:
    tables = {1: Routes(), 2: Routes()}
    aliases = {"prod": alias_of("1:60,2:20,3:20", "key"), "next": alias_of("3")}
    found = shares(aliases, tables, {3: "SyntaxError: no"})
    assert [(upto, table) for upto, table in found[b"prod"].parts] == [(0.75, tables[1]), (1.0, tables[2])]
    ((upto, down),) = found[b"next"].parts
    assert upto == 1.0 and isinstance(down, VersionDown)
    assert down.http_status == 503 and "version 3 does not load: SyntaxError: no" in down.message
