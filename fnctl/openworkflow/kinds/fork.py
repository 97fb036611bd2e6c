"""Branches at the same time: all of them, or the first that comes to its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.fault import Fault
from fnctl.openworkflow.frame import Frame

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run


async def perform(run: Run, frame: Frame) -> Any:
    said = frame.task["fork"]
    compete = said.get("compete", False)
    if compete and (winner := _won(run, frame)) is not None:
        return winner["output"]
    place = frame.place.below("fork/branches")
    work: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(run.task(place.task(index, name, 0), task, frame.input))
        for index, item in enumerate(said["branches"])
        for name, task in item.items()
    ]
    busy = _Busy(run, work, compete)
    with run.strands.aside():
        try:
            return await (_first(work) if compete else _all(work))
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            busy.over()


class _Busy:
    """The strands of the branches. One that ends is none any more, but for the one whose end the fork waits for: that
    is busy until the fork goes on."""

    def __init__(self, run: Run, work: list[asyncio.Future[Any]], compete: bool) -> None:
        self._strands = run.strands
        self._compete = compete
        self._left = self._counted = len(work)
        self._strands.more(len(work))
        for each in work:
            each.add_done_callback(self._ended)

    def _ended(self, branch: asyncio.Future[Any]) -> None:
        self._left -= 1
        failed = branch.cancelled() or branch.exception() is not None
        if self._left and failed == self._compete:
            self._counted -= 1
            self._strands.less()

    def over(self) -> None:
        self._strands.count -= self._counted
        self._counted = self._left = 0


def _won(run: Run, frame: Frame) -> Any:
    """The branch that had come to its end first, where the log knows one."""
    prefix = f"{frame.place.key}/fork/branches/"
    history = run.history
    ended = [
        entry
        for key, entry in history.completed.items()
        if key.startswith(prefix) and key.count("/") == prefix.count("/") + 1
    ]
    return min(ended, key=lambda each: history.numbers[each["step"]]) if ended else None


async def _all(work: list[asyncio.Future[Any]]) -> list[Any]:
    """In the order of the branches. The first fault ends them all."""
    if work:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_EXCEPTION)
        for each in done:
            if (error := each.exception()) is not None:
                raise error
    return [each.result()[0] for each in work]


async def _first(work: list[asyncio.Future[Any]]) -> Any:
    """A branch that fails has lost; where all fail, the first fault counts."""
    left, fault = set(work), None
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for each in sorted(done, key=work.index):
            error = each.exception()
            if error is None:
                return each.result()[0]
            if not isinstance(error, Fault):
                raise error
            fault = fault or error
    if fault is not None:
        raise fault
    return None
