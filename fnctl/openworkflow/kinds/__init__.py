"""What each kind of task does. A function a kind: `(run, frame)` → its output, before `output.as`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.expression import true
from fnctl.openworkflow.frame import Frame
from fnctl.openworkflow.kinds import call, events, flow, fork, process, trying

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run

# Those that touch something outside: attempted again where a crash came between.
ACTS = frozenset({"call", "emit", "run"})
_KINDS: dict[str, Callable[[Run, Frame], Awaitable[Any]]] = {
    "call": call.perform,
    "do": flow.do,
    "emit": events.emit,
    "for": flow.loop,
    "fork": fork.perform,
    "listen": events.listen,
    "raise": flow.fail,
    "run": process.perform,
    "set": flow.assign,
    "switch": flow.switch,
    "try": trying.perform,
    "wait": flow.wait,
}
_COMPOSITE = frozenset({"do", "fork"})


async def perform(run: Run, frame: Frame) -> Any:
    """Raises Fault, and Ended."""
    return await _KINDS[frame.kind](run, frame)


async def before(run: Run, frame: Frame) -> tuple[Any] | None:
    """The tasks that extensions put before this one. Where they exit, what they gave stands for its output."""
    for name, extension in _extensions(run, frame):
        place = _beside(frame, "before", name)
        output, then = await run.sequence(place, extension.get("before", []), frame.input)
        if then == "exit":
            return (output,)
    return None


async def after(run: Run, frame: Frame) -> None:
    """The tasks that extensions put after this one; its output stays as it is."""
    for name, extension in _extensions(run, frame):
        await run.sequence(_beside(frame, "after", name), extension.get("after", []), frame.output)


def _beside(frame: Frame, when: str, name: str) -> Any:
    from dataclasses import replace

    return replace(frame.place.below(f"{when}/{name}"), plain=True)


def _extensions(run: Run, frame: Frame) -> list[tuple[str, Any]]:
    found = []
    for item in run.definition.data.get("use", {}).get("extensions", ()):
        for name, extension in item.items():
            extends = extension["extend"]
            if extends not in ("all", frame.kind) and not (extends == "composite" and frame.kind in _COMPOSITE):
                continue
            if "when" not in extension or _asked(run, frame, name, extension["when"]):
                found.append((name, extension))
    return found


def _asked(run: Run, frame: Frame, name: str, when: str) -> bool:
    key = f"{frame.place.key}/extensions/{name}"
    return bool(run.decided(key, lambda: true(run.evaluate(when, frame.input, frame.place, frame))))
