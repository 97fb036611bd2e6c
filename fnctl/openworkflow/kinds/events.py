"""emit and listen: events of the bus, as CloudEvents in JSON."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.consumption import Consumption
from fnctl.openworkflow.frame import Frame, moment
from fnctl.openworkflow.journal import bounded

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run


async def emit(run: Run, frame: Frame) -> Any:
    """The event as it was published. A second attempt publishes the same one: its id is made of the step."""
    said = run.filled(frame.task["emit"]["event"].get("with", {}), frame.input, frame.place, frame)
    step = run.step(frame)
    made: dict[str, Any] = {"specversion": "1.0", "id": str(uuid.uuid5(uuid.NAMESPACE_URL, step.word))}
    made["time"] = moment(run.history.begun[frame.place.key]["at"])["iso8601"]
    made |= {key: value for key, value in said.items() if value is not None}
    if "data" in made:
        made.setdefault("datacontenttype", "application/json")
    bounded(made, "the event")
    await run.journal.flush()
    await run.world.publish(step, made)
    return made


async def listen(run: Run, frame: Frame) -> Any:
    """The events that were consumed, in their order. What comes while one is worked on waits for its turn."""
    place, iterator = frame.place, frame.task.get("foreach")
    consumption = Consumption(run, frame)
    for entry in run.history.events.get(place.key, ()):
        consumption.replay(entry)
    run.listeners[place.key] = consumption
    outputs: list[Any] = []
    try:
        await run.journal.flush()
        while True:
            while len(outputs) < len(consumption.items):
                item = consumption.items[len(outputs)]
                outputs.append(item if iterator is None else await _worked(run, frame, iterator, item, len(outputs)))
            if consumption.done:
                return outputs
            await consumption.more()
    finally:
        run.listeners.pop(place.key, None)


async def _worked(run: Run, frame: Frame, said: Mapping[str, Any], item: Any, index: int) -> Any:
    """`foreach`: one event."""
    variables = {said.get("item", "item"): item, said.get("at", "index"): index}
    place = frame.place.below("foreach", f"[{index}]", **variables)
    if (done := run.history.completed.get(place.key)) is not None:
        return done.get("output")
    output, _ = await run.sequence(place.below("do"), said.get("do", []), frame.input)
    shown = Frame(place, "", frame.task, frame.raw, frame.input, begun=frame.begun, output=output)
    kept = item
    if "output" in said:
        kept = run.transformed(said["output"]["as"], output, place, shown) if "as" in said["output"] else output
        await run.schemas.check(said["output"].get("schema"), kept, f"the output of {place.ref}")
    more: dict[str, Any] = {}
    if "export" in said and "as" in said["export"]:
        more["context"] = bounded(run.transformed(said["export"]["as"], output, place, shown), "the context")
    run.journal.note("completed", place.key, ref=place.ref, output=kept, **more)
    return kept
