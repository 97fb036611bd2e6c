"""Alarms come at their time, in their order, once: on the real clock and on one that is pushed."""

from __future__ import annotations

import asyncio

import pytest

from fnctl.clock import RealClock, VirtualClock

YEAR_S = 365 * 86_400


def test_a_year_passes_at_once_and_every_alarm_sees_its_own_time() -> None:
    async def story() -> list[float]:
        clock = VirtualClock(0.0)
        seen: list[float] = []

        def daily() -> None:
            seen.append(clock.now())
            clock.call_at(clock.now() + 86_400, daily)

        clock.call_at(86_400, daily)
        assert await clock.advance(YEAR_S) == YEAR_S == clock.now()
        return seen

    assert asyncio.run(story()) == [day * 86_400.0 for day in range(1, 366)]


def test_time_stands_still_while_somebody_is_busy_with_what_was_due() -> None:
    async def story() -> list[str]:
        clock = VirtualClock(0.0)
        told: list[str] = []
        busy: list[asyncio.Task[None]] = []

        async def work() -> None:
            await asyncio.sleep(0)
            told.append(f"worked at {clock.now():g}")
            clock.call_at(clock.now() + 1, lambda: told.append(f"and after at {clock.now():g}"))

        async def rest() -> None:
            await asyncio.gather(*busy)
            busy.clear()

        clock.settled.append(rest)
        clock.call_at(10, lambda: busy.append(asyncio.ensure_future(work())))
        clock.call_at(20, lambda: told.append("last"))
        await clock.advance(100)
        return told

    assert asyncio.run(story()) == ["worked at 10", "and after at 11", "last"]


def test_a_cancelled_alarm_does_not_come() -> None:
    async def story() -> list[int]:
        clock = VirtualClock(0.0)
        told: list[int] = []
        alarms = [clock.call_at(1, lambda number=number: told.append(number)) for number in range(3)]  # type: ignore[misc]
        alarms[1].cancel()
        alarms[1].cancel()
        await clock.advance(1)
        alarms[0].cancel()
        return told

    assert asyncio.run(story()) == [0, 2]


@pytest.mark.parametrize("make", [RealClock, VirtualClock])
def test_what_is_due_already_comes_soon_but_not_at_once(make: type[RealClock] | type[VirtualClock]) -> None:
    async def story() -> None:
        clock = make()
        rung = asyncio.Event()
        clock.call_at(clock.now() - 5, rung.set)
        assert not rung.is_set()
        await asyncio.wait_for(rung.wait(), 5)
        clock.close()

    asyncio.run(story())


def test_the_soonest_of_real_alarms_comes_first_whenever_it_was_asked() -> None:
    async def story() -> list[str]:
        clock = RealClock()
        told: list[str] = []
        rung = asyncio.Event()

        def second() -> None:
            told.append("second")
            rung.set()

        clock.call_at(clock.now() + 3600, lambda: told.append("in an hour"))
        clock.call_at(clock.now() + 0.02, second)
        clock.call_at(clock.now() + 0.01, lambda: told.append("first"))
        await asyncio.wait_for(rung.wait(), 5)
        clock.close()
        return told

    assert asyncio.run(story()) == ["first", "second"]
