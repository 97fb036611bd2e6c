"""A year of virtual time over everything that waits for some: each at its own moment, all in seconds."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import uvloop

from fnctl.control.later import DAY_S, KEEP_DEAD_S, Later
from fnctl.errors import NotFound
from fnctl.model import AsyncRule, Function, TimerTrigger
from fnctl.paths import ProjectPaths
from fnctl.triggers.http.call import CallRequest, When
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, read_request, stage

FAILED = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
WORK = CallRequest(b"POST", b"/", b"Host: a\r\n", b"")
YEAR_S = 365 * DAY_S


@asynccontextmanager
async def later(folder: Path) -> AsyncIterator[tuple[Stage, Later]]:
    """A run's own, over the stage's invocations."""
    async with stage(folder) as made:
        paths = ProjectPaths(folder)
        one = Later(paths, made.invocations, made.functions, tuple, lambda name, text: None, virtual=True)
        await one.open()
        try:
            yield made, one
        finally:
            await one.close()


def function(name: str, *timers: TimerTrigger, **rule: float) -> Function:
    return replace(app(name), triggers=timers, deferred=AsyncRule(**rule))  # type: ignore[arg-type]


def test_a_year_of_timers_each_at_its_time(tmp_path: Path) -> None:
    async def scene() -> None:
        async with later(tmp_path) as (made, one):
            began = one.clock.now()
            nightly, monthly, once = list[Seen](), list[Seen](), list[Seen]()
            functions = [
                function("nightly", TimerTrigger(cron="0 3 * * *", timezone="Europe/Berlin")),
                function("monthly", TimerTrigger(every_s=30 * DAY_S)),
                function("once", TimerTrigger(at=began + 200 * DAY_S)),
            ]
            for each, seen in zip(functions, (nightly, monthly, once), strict=True):
                await made.add(each, answering(HELLO, seen))
            await one.begin(functions)
            await one.advance(YEAR_S)
            assert len(nightly) == 365
            hours = {datetime.fromisoformat(each.one(b"ce-time").decode()).hour for each in nightly}
            assert hours == {1, 2}  # three o'clock, in summer and in winter
            assert len(monthly) in (12, 13)
            (only,) = once
            assert datetime.fromisoformat(only.one(b"ce-time").decode()).timestamp() == pytest.approx(
                began + 200 * DAY_S, abs=0.01
            )
            rows = {each["function"]: each for each in await one.queues()}
            assert [rows[each.name]["drift"] for each in functions] == [0, 0, 0]
            times = [receipt.at for receipt in made.receipts]
            assert times == sorted(times) and times[-1] > began + YEAR_S - DAY_S

    uvloop.run(scene())


def test_a_year_of_delays_attempts_ages_and_keeping(tmp_path: Path) -> None:
    async def scene() -> None:
        async with later(tmp_path) as (made, one):
            times: list[float] = []

            async def failing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while True:
                    await read_request(reader)
                    times.append(one.clock.now() - began)
                    writer.write(FAILED)

            began, waited = one.clock.now(), list[Seen]()
            work = function("work")
            fails = function("fails", retries=1000, backoff_s=600.0, max_age_s=DAY_S)
            await made.add(work, answering(HELLO, waited))
            await made.add(fails, failing)
            await one.begin([work, fails])
            delayed = await one.calls.accept(work, WORK, When(due=began + 300 * DAY_S))
            failed = await one.calls.accept(fails, WORK)
            await one.advance(2 * DAY_S)
            gaps = [after - before for before, after in itertools.pairwise(times)]
            assert all(150 <= gap <= 300 for gap in gaps)  # the back-off's longest, and a half of it
            assert DAY_S - 300 <= times[-1] <= DAY_S
            assert (await one.calls.result(failed))["state"] == "dead"
            assert waited == []
            await one.advance(KEEP_DEAD_S)
            with pytest.raises(NotFound):
                await one.calls.result(failed)
            await one.advance(300 * DAY_S + 60 - (one.clock.now() - began))
            assert (await one.calls.result(delayed))["state"] == "done"
            assert len(waited) == 1
            await one.advance(YEAR_S - 300 * DAY_S)
            with pytest.raises(NotFound):  # a result is kept for a day
                await one.calls.result(delayed)

    uvloop.run(scene())
