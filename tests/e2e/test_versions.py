"""Versions take over and go back in a running service: what is bad never serves, what was before is still loaded."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from fnctl import paths
from fnctl.builder import bundle as bundles
from fnctl.clock import VirtualClock
from fnctl.control import compose, versions
from fnctl.control.canary import CanaryFailed, Rules
from fnctl.control.compose import Stack
from fnctl.control.deployments import Choose
from fnctl.control.installation import Candidate, Installation
from fnctl.control.versions import alias_of
from fnctl.engine.port import Engine
from fnctl.errors import LoadError
from fnctl.triggers.http.call import CallRequest, When
from tests.support.releases import candidate, get, serving
from tests.support.turning import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROJECT = "functions:\n  shop: {runtime: node24, handler: index.handler, health: /ok, idle_timeout: 1h}\n"
CODE = """
let free = () => {};
exports.handler = async (event) => {
  if (event.path === '/wait') await new Promise((done) => { free = done; });
  if (event.path === '/free') free();
  console.log('asked for ' + event.path);
  return {statusCode: event.path === '/ok' ? %d : 200, body: 'version %s'};
};
"""

BROKEN = """
exports.handler = async (event) => ({statusCode: event.path === '/ok' ? 200 : 500, body: 'version 4'});
"""


def files(word: str, health: int = 200) -> dict[str, str]:
    return {"fnctl.yaml": PROJECT, "index.js": CODE % (health, word)}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Short enough for the sockets below it, as pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("FNCTL_HOME", f"{short}/home")
        yield Path(short) / "place"


def given(one: Candidate) -> Choose:
    return lambda there: one


async def said(stack: Stack) -> str:
    status, body, _ = await get(stack, "/shop/")
    assert status == 200, body
    return body


def loaded(stack: Stack) -> set[str]:
    return {row["id"] for row in stack.run.instances() if row["function"]}


async def story(place: Path, engine: Engine) -> None:
    one, two, bad = (
        candidate(place, engine, files(word, health), word) for word, health in (("1", 200), ("2", 200), ("3", 500))
    )
    three = candidate(place, engine, files("3"), "three")
    async with serving(place, engine, one, virtual=True) as stack:
        assert await said(stack) == "version 1"
        first = loaded(stack)
        begun = asyncio.create_task(get(stack, "/shop/wait"))
        await until(lambda: stack.run.invocations.in_flight == 1)

        version, applied = await stack.deploy(lambda there: two)
        assert (version.number, applied.changed) == (2, ("shop",))
        assert await said(stack) == "version 2"
        both = loaded(stack)
        assert first < both, "what was before is still loaded"
        assert not begun.done()

        with pytest.raises(LoadError, match="shop is not healthy: GET /ok: answered 500") as refused:
            await stack.deploy(lambda there: bad)
        assert "version 3" in (refused.value.detail or "")
        assert "asked for /ok" in (refused.value.detail or "")
        assert await said(stack) == "version 2"
        assert len(stack.run.scheduler.sites) == 2, "nothing of it is left"

        version, _ = await stack.rollback(None)
        assert (version.number, await said(stack)) == (1, "version 1")
        assert loaded(stack) == both, "nothing was loaded for it"
        await get(stack, "/shop/free")
        status, body, _ = await begun
        assert (status, body) == (200, "version 1")  # where it began

        version, _ = await stack.rollback(None)
        assert (version.number, await said(stack)) == (2, "version 2")

        await a_call_that_waits_stays(stack)

        await stack.alias("prod", alias_of("1:50,2:50", "header:X-User"))
        told = {(await get(stack, "/shop/", "X-Fnctl-Alias: prod", f"X-User: {user}"))[1] for user in range(20)}
        assert told == {"version 1", "version 2"}
        for user in range(3):
            asked = ("/shop/", "X-Fnctl-Alias: prod", f"X-User: {user}")
            assert len({(await get(stack, *asked))[1] for _ in range(4)}) == 1, "the same user, the same version"
        version, applied = await stack.deploy_to("next", lambda there: three)
        assert (version.number, applied.changed, await said(stack)) == (3, ("shop",), "version 2")
        assert (await get(stack, "/shop/", "X-Fnctl-Alias: next"))[1] == "version 3"
        version, _ = await stack.promote("next")
        assert (version.number, await said(stack)) == (3, "version 3")
        version, _ = await stack.rollback(None)
        for name in ("prod", "next"):
            await stack.alias(name, None)
        status, body, _ = await get(stack, "/shop/", "X-Fnctl-Alias: prod")
        assert (status, "no alias prod" in body) == (404, True)

        version, _ = await stack.rollback(1)
        assert (version.number, await said(stack)) == (1, "version 1")
        await tried(stack, place, engine)
    await an_alias_that_does_not_load_keeps_nothing_from_serving(place, engine, one)


async def a_call_that_waits_stays(stack: Stack) -> None:
    """It was accepted in version 2, and is made when 1 serves; until then 2 is held."""
    assert stack.later is not None
    id = await stack.later.calls.accept(
        stack.run.scheduler.all_current()["shop"].code.function,
        CallRequest(b"GET", b"/later", b"Host: shop.localhost\r\n", b""),
        When(due=stack.later.clock.now() + 60),
    )
    clock = stack.later.clock
    assert isinstance(clock, VirtualClock)
    await clock.advance(1)
    await stack.rollback(None)
    assert await said(stack) == "version 1"
    assert versions.read(stack.run.paths.versions).busy == {2}
    await clock.advance(60)
    assert (await stack.later.calls.result(id))["result"]["body"] == "version 2"
    await clock.advance(3600)  # the next look
    await until(lambda: not versions.read(stack.run.paths.versions).busy)
    await stack.rollback(None)
    assert await said(stack) == "version 2"


async def an_alias_that_does_not_load_keeps_nothing_from_serving(place: Path, engine: Engine, one: Candidate) -> None:
    installation = Installation(place, engine)
    (bundle,) = installation.history().find(2).bundles.values()
    installation.alias("gone", alias_of("2"))
    root = bundles.folder(paths.bundles(), bundle)
    for folder in (root, *root.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o755)
    shutil.rmtree(root)
    async with serving(place, engine, one) as stack:
        assert list(stack.failed_versions) == [2]
        assert await said(stack) == "version 1"
        status, body, _ = await get(stack, "/shop/", "X-Fnctl-Alias: gone")
        assert (status, '"version_down"' in body) == (503, True)
        assert list(stack.status()["failed_versions"]) == ["2"]
    assert any("does not load" in line for _, line in installation.history().find(2).story)


async def tried(stack: Stack, place: Path, engine: Engine) -> None:
    """One release that is worse, and one that is not."""
    broken = candidate(place, engine, {**files("4"), "index.js": BROKEN}, "four")
    good = candidate(place, engine, files("5"), "five")
    rules = Rules(0.5, None, 20)
    for one, outcome in ((broken, "version 1"), (good, "version 5")):
        trial = asyncio.create_task(stack.canary(given(one), "", rules))
        answers = []
        while not trial.done():
            answers.append((await get(stack, "/shop/"))[1])
        assert "version 1" in answers, "a share of the calls"
        if one is broken:
            with pytest.raises(CanaryFailed, match="of its calls failed"):
                await trial
        else:
            await trial
        assert await said(stack) == outcome
    story = [line for each in versions.read(stack.run.paths.versions).versions for _, line in each.story]
    assert [line for line in story if line.startswith(("failed", "passed"))] == [
        "failed: 100.0% of its calls failed, 0.0% of the others",
        "passed",
    ]


def test_a_bad_version_never_serves_and_the_one_before_is_still_loaded(place: Path) -> None:
    uvloop.run(story(place, compose.connect()))
