"""call: a function by its name, an HTTP endpoint, an operation of an OpenAPI or AsyncAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.checks import REFUSED
from fnctl.openworkflow.definition import is_address
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.frame import Frame
from fnctl.openworkflow.kinds import asyncapi, http, openapi, resources
from fnctl.openworkflow.validation import kind_of

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run


async def perform(run: Run, frame: Frame) -> Any:
    name = str(frame.task["call"])
    if name in REFUSED:
        raise standard("configuration", f"`call: {name}` is not supported")
    if name == "http":
        return await http.perform(run, frame, frame.task["with"])
    if name == "openapi":
        return await openapi.perform(run, frame)
    if name == "asyncapi":
        return await asyncapi.perform(run, frame)
    arguments = _arguments(run, frame)
    own = run.definition.used("functions", name)
    if own is None and is_address(name):
        own = await _cataloged(run, frame, name)
    if own is not None:
        return await _defined(run, frame, own, arguments)
    await run.journal.flush()
    return await run.world.function(run.step(frame), name, arguments)


def _arguments(run: Run, frame: Frame) -> Any:
    """What is in `with`; without it, the task's input."""
    if "with" not in frame.task:
        return frame.input
    return run.filled(frame.task["with"], frame.input, frame.place, frame)


async def _defined(run: Run, frame: Frame, task: Mapping[str, Any], arguments: Any) -> Any:
    """A function that is itself a task: the arguments are its input, and it sees none of the caller's variables."""
    place = replace(frame.place.below("function"), variables={})
    output, _ = await run.task(place, task, arguments)
    return output


async def _cataloged(run: Run, frame: Frame, call: str) -> Mapping[str, Any]:
    """A function's definition from where it is published; what was found holds for this run."""
    if "://" not in call:
        call = _in_catalog(run, call)
    found = await resources.document(run, frame.place.below("catalog"), {"endpoint": call}, frame)
    if not isinstance(found, Mapping) or kind_of(found) is None:
        raise standard("configuration", f"what {call} gives is no definition of a function")
    return found


def _in_catalog(run: Run, call: str) -> str:
    """`NAME:VERSION@CATALOG` as an address."""
    function, _, catalog = call.partition("@")
    name, _, version = function.partition(":")
    said = run.definition.used("catalogs", catalog)
    if said is None:
        raise standard("configuration", f"`use.catalogs` has no `{catalog}`")
    endpoint = said["endpoint"]
    root = endpoint if isinstance(endpoint, str) else endpoint["uri"]
    return f"{root.rstrip('/')}/functions/{name}/{version or 'latest'}/function.yaml"
