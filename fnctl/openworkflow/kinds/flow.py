"""Tasks that only compute, lead somewhere or wait: do, for, set, switch, raise, wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.expression import true
from fnctl.openworkflow.fault import Fault, standard
from fnctl.openworkflow.frame import Frame

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run


async def do(run: Run, frame: Frame) -> Any:
    output, _ = await run.sequence(frame.place.below("do"), frame.task["do"], frame.input)
    return output


async def loop(run: Run, frame: Frame) -> Any:
    """Each turn begins with what the one before gave. `while` is asked before each."""
    said, task, place = frame.task["for"], frame.task, frame.place
    items = run.decided(f"{place.key}/in", lambda: run.evaluate(said["in"], frame.input, place, frame))
    if items is None:
        items = []
    if not isinstance(items, list):
        raise standard("expression", f"`for.in` gives {type(items).__name__}, not an array: {said['in']}")
    data = frame.input
    for index, item in enumerate(items):
        turn = {said.get("each", "item"): item, said.get("at", "index"): index}
        if "while" in task and not _goes_on(run, frame, data, turn, index):
            break
        data, _ = await run.sequence(place.below("do", f"[{index}]", **turn), task["do"], data)
    return data


def _goes_on(run: Run, frame: Frame, data: Any, turn: Mapping[str, Any], index: int) -> bool:
    return bool(
        run.decided(
            f"{frame.place.key}/while[{index}]",
            lambda: true(run.evaluate(frame.task["while"], data, frame.place, frame, **turn)),
        )
    )


async def assign(run: Run, frame: Frame) -> Any:
    return run.filled(frame.task["set"], frame.input, frame.place, frame)


async def switch(run: Run, frame: Frame) -> tuple[Any, str]:
    """The first case that fits, else the one without a condition, else the task's own `then`."""
    otherwise = frame.task.get("then", "continue")
    for item in frame.task["switch"]:
        for case in item.values():
            if "when" not in case:
                otherwise = case["then"]
            elif true(run.evaluate(case["when"], frame.input, frame.place, frame)):
                return frame.input, case["then"]
    return frame.input, otherwise


async def fail(run: Run, frame: Frame) -> Any:
    said = frame.task["raise"]["error"]
    if isinstance(said, str):
        name, said = said, run.definition.used("errors", said)
        if said is None:
            raise standard("configuration", f"`use.errors` has no `{name}`")
    made: Mapping[str, Any] = run.filled(said, frame.input, frame.place, frame)
    raise Fault(
        str(made["type"]),
        int(made["status"]),
        _text(made.get("title")),
        _text(made.get("detail")),
        _text(made.get("instance")) or frame.place.ref,
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


async def wait(run: Run, frame: Frame) -> Any:
    """Until when is on disk before it waits."""
    key = frame.place.key
    due = run.history.waiting.get(key)
    if due is None:
        due = frame.begun + run.seconds(frame.task["wait"], frame.input, frame.place, frame)
        run.journal.note("waiting", key, due=due)
    if due > run.world.clock.now():
        await run.journal.flush()
        await run.until(key, due)
    return frame.input
