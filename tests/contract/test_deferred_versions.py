"""Calls and executions that began in an earlier version are made in it, over a real gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fnctl.dispatch.pinned import Pinned
from fnctl.model import Function, SiteKey
from fnctl.triggers.queue.records import queue_of
from tests.contract.deferred_calls import ask, deferring, look, post
from tests.contract.durable_calls import Aws, Context, durable, running
from tests.contract.gateway_stage import HELLO, Stage, answering, app, play
from tests.support.turning import until

FAILED = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"


class Two:
    """Versions: `old` is where everything goes that was accepted before `since`, or has this digest."""

    def __init__(self, old: Function, since: float, digest: str = "") -> None:
        self._old = Pinned(old, SiteKey(old.name))
        self._since, self._digest = since, digest

    def is_current(self, at: float) -> bool:
        return at >= self._since

    async def since(self, function: str, at: float) -> Pinned | None:
        await asyncio.sleep(0)
        return self._old

    async def of(self, function: str, digest: str) -> Pinned | None:
        return self._old if digest == self._digest else None

    def left(self, function: str) -> Function | None:
        return self._old.function if function == "gone" else None


def test_a_call_stays_with_its_version_and_one_that_is_redriven_does_not(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        old = await made.add(app("old"), answering(FAILED))
        made.deferred.versions = Two(old.function, made.clock.now() + 5)
        new = await made.add(deferring(retries=1, backoff_s=20.0), answering(HELLO))
        before = await ask(made, post())
        await made.deferred.rest()
        await made.clock.advance(10)
        after = await ask(made, post())
        await made.deferred.rest()
        assert (await look(made, after)).json["state"] == "done"
        assert len(new.leases) == 1
        await made.clock.advance(60)
        assert (await look(made, before)).json["state"] == "dead"
        assert (len(old.leases), len(new.leases)) == (2, 1), "its second attempt, too"
        await made.store.queues.redrive(queue_of("app"), made.clock.now())
        made.deferred.kick(queue_of("app"))
        await made.deferred.rest()
        assert (await look(made, before)).json["state"] == "done"
        assert (len(old.leases), len(new.leases)) == (2, 2)

    play(tmp_path, scene)


def test_an_execution_stays_with_the_bundle_that_it_began_with(tmp_path: Path) -> None:
    async def code(context: Context) -> str:
        first: str = await context.step("one", "1")
        await context.wait(100)
        return first + str(await context.step("two", "2"))

    async def scene(made: Stage) -> None:
        began, later = list[str](), list[str]()
        await made.add(durable("old"), running(made, code, began))
        await made.add(durable(), running(made, code, later))
        made.executions.pin(Two(durable("old"), 0.0))  # the stage's functions have no digest: all is the old one's
        aws = Aws(made)
        begun = await aws("invoke", FunctionName="app", InvocationType="Event", Payload=b"{}")
        await until(lambda: made.executions.awake == 0 and began)
        await made.clock.advance(100)
        said = await aws("get_durable_execution", DurableExecutionArn=begun["DurableExecutionArn"])
        assert (said["Status"], began, later) == ("SUCCEEDED", ["one", "two"], [])

    play(tmp_path, scene, hosts=frozenset({b"a", b"127.0.0.1"}))
