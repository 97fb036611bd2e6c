"""Timers over a real gateway's invocations, on a clock that is pushed: called in time, once, also across restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.model import Contract, Function, Missed, Overlap, TimerTrigger
from fnctl.store.port import MessageState
from fnctl.triggers.timer.timers import Timers
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, play, read_request
from tests.support.turning import until

HOUR_S = 3600.0


def timed(contract: Contract | None = None, **timer: object) -> Function:
    return replace(app(), contract=contract, triggers=(TimerTrigger(**timer),))  # type: ignore[arg-type]


@asynccontextmanager
async def timers(made: Stage, *functions: Function, told: list[str] | None = None) -> AsyncIterator[Timers]:
    one = Timers(
        made.store.keys,
        made.clock,
        made.deferred,
        lambda name, text: None if told is None else told.append(f"{name}: {text}"),
    )
    made.clock.settled.insert(0, one.rest)
    await one.refresh(functions)
    try:
        yield one
    finally:
        await one.close()
        made.clock.settled.remove(one.rest)


def test_a_month_of_nights_passes_in_a_moment(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        function = timed(cron="0 3 * * *", timezone="Europe/Berlin")
        await made.add(function, answering(HELLO, seen))
        async with timers(made, function):
            await made.clock.advance(30 * 24 * HOUR_S)
        assert len(seen) == 30
        due = [request.one(b"ce-time").decode() for request in seen]
        assert len(set(due)) == 30
        assert all(each.endswith(("T02:00:00Z", "T01:00:00Z")) for each in due)
        assert {request.one(b"ce-type") for request in seen} == {b"dev.fnctl.timer"}
        assert json.loads(seen[0].body)["time"] == due[0]
        assert [receipt.verdict for receipt in made.receipts] == ["ok"] * 30

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("contract", "line", "says"),
    [
        (Contract.LAMBDA, b"POST /2015-03-31/functions/app/invocations HTTP/1.1", ("detail-type", "Scheduled Event")),
        (Contract.FC_EVENT, b"POST / HTTP/1.1", ("triggerName", "nightly")),
        (Contract.FC3_HTTP, b"POST /2023-03-30/functions/app/invocations HTTP/1.1", ("triggerName", "nightly")),
    ],
)
def test_code_of_a_platform_gets_its_platforms_event(
    tmp_path: Path, contract: Contract, line: bytes, says: tuple[str, str]
) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        function = timed(contract, every_s=60.0, name="nightly")
        await made.add(function, answering(HELLO, seen))
        async with timers(made, function):
            await made.clock.advance(61)
        assert seen[0].line == line
        assert json.loads(seen[0].body)[says[0]] == says[1]

    play(tmp_path, scene)


@pytest.mark.parametrize(("missed", "calls"), [(Missed.SKIP, 0), (Missed.ONE, 1), (Missed.ALL, 5)])
def test_what_was_missed_is_made_up_for_as_the_rule_says(tmp_path: Path, missed: Missed, calls: int) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        told: list[str] = []
        function = timed(every_s=HOUR_S, missed=missed)
        await made.add(function, answering(HELLO, seen))
        async with timers(made, function):
            await made.clock.advance(2 * HOUR_S)
        assert len(seen) == 2
        await made.clock.advance(5 * HOUR_S)  # nothing runs
        async with timers(made, function, told=told):
            await made.deferred.rest()
            assert len(seen) == 2 + calls
            await made.clock.advance(HOUR_S)
            assert len(seen) == 3 + calls
        assert told[0].startswith("app: timer every 3600 s: missed 5 times")
        async with timers(made, function):  # and not once more
            await made.deferred.rest()
        assert len(seen) == 3 + calls

    play(tmp_path, scene)


def test_a_time_is_done_once_even_if_a_run_dies_before_it_could_note_it(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        function = timed(every_s=HOUR_S, missed=Missed.ALL)
        await made.add(function, answering(HELLO, seen))
        async with timers(made, function):
            await made.clock.advance(HOUR_S)
        ((key, value),) = await made.store.keys.scan("timer/", made.clock.now())
        before = repr(float(value.data) - HOUR_S).encode()
        await made.store.keys.set(key, before, made.clock.now())  # as if the note had not come to the disk
        async with timers(made, function):
            await made.deferred.rest()
        assert len(seen) == 1

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("overlap", "most", "cancelled"), [(Overlap.FORBID, 1, 0), (Overlap.ALLOW, 3, 0), (Overlap.REPLACE, 1, 2)]
)
def test_a_call_that_has_not_ended_stands_in_the_way_or_not(
    tmp_path: Path, overlap: Overlap, most: int, cancelled: int
) -> None:
    async def scene(made: Stage) -> None:
        going = asyncio.Event()
        entered = 0

        async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal entered
            await read_request(reader)
            entered += 1
            await going.wait()
            writer.write(HELLO)
            await reader.read()

        function = timed(every_s=60.0, overlap=overlap)
        await made.add(function, waiting, connections=4)
        told: list[str] = []
        async with timers(made, function, told=told) as running:
            made.clock.settled.remove(made.deferred.rest)  # the calls do not end
            for turn in range(3):
                await made.clock.advance(60)
                expected = turn + 1 if overlap is Overlap.REPLACE else min(turn + 1, most)
                await until(lambda expected=expected: entered == expected)  # type: ignore[misc]
            queues = made.store.queues
            counts = (await queues.counts())["fn/app"]
            assert (counts.running, counts.cancelled) == (most, cancelled)
            assert len(told) == (2 if overlap is Overlap.FORBID else 0)
            going.set()
            await made.deferred.rest()
            assert len(await queues.peek("fn/app", MessageState.DONE, 9)) == most
            await running.close()

    play(tmp_path, scene)


def test_a_timer_that_is_gone_rings_no_more_and_a_new_one_begins_now(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        hourly, often = timed(every_s=HOUR_S), timed(every_s=600.0)
        await made.add(hourly, answering(HELLO, seen))
        async with timers(made, hourly) as running:
            await made.clock.advance(HOUR_S)
            assert len(seen) == 1
            await running.refresh([often])
            await made.clock.advance(HOUR_S)
            assert len(seen) == 7
            await running.refresh([replace(often, triggers=())])
            await made.clock.advance(HOUR_S)
            assert len(seen) == 7
            assert running.next_times() == []

    play(tmp_path, scene)
