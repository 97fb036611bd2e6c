"""run: a container, a script, a shell command or another workflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.definition import Identity
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.frame import Frame
from fnctl.openworkflow.kinds import resources
from fnctl.openworkflow.world import Process, ProcessResult

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run

# What scripts can be written in, and how else the languages are called.
LANGUAGES = {"js": "javascript", "javascript": "javascript", "python": "python"}


async def perform(run: Run, frame: Frame) -> Any:
    said = frame.task["run"]
    awaited = said.get("await", True)
    if "workflow" in said:
        return await _workflow(run, frame, said["workflow"], awaited)
    process = await _process(run, frame, said)
    await run.journal.flush()
    result = await run.world.process(run.step(frame), process, awaited)
    return frame.input if result is None else _output(result, said.get("return", "stdout"), frame.place.ref)


async def _workflow(run: Run, frame: Frame, said: Mapping[str, Any], awaited: bool) -> Any:
    identity = Identity(said["namespace"], said["name"], str(said.get("version", "latest")))
    given = run.filled(said.get("input", {}), frame.input, frame.place, frame)
    await run.journal.flush()
    waiter = run.waiter() if awaited else None
    await run.world.child(run.step(frame), identity, given, waiter)
    if waiter is None:
        return frame.input
    run.children.add(frame.place.key)
    try:
        return await waiter.told()
    finally:
        run.children.discard(frame.place.key)


async def _process(run: Run, frame: Frame, said: Mapping[str, Any]) -> Process:
    kind = next(each for each in ("container", "script", "shell") if each in said)
    filled: Mapping[str, Any] = run.filled(said[kind], frame.input, frame.place, frame)
    arguments = filled.get("arguments") or ()
    if isinstance(arguments, Mapping):
        arguments = [f"{key}={_text(value)}" for key, value in arguments.items()]
    common: dict[str, Any] = {
        "arguments": tuple(_text(each) for each in arguments),
        "environment": {key: _text(value) for key, value in (filled.get("environment") or {}).items()},
        "stdin": None if filled.get("stdin") is None else _text(filled["stdin"]),
    }
    if kind == "script":
        language = LANGUAGES.get(str(filled["language"]).lower())
        if language is None:
            raise standard("configuration", f"scripts in {filled['language']} cannot be run; javascript and python can")
        code = filled.get("code")
        if code is None:
            code = await resources.text(run, frame.place.below("script"), filled["source"], frame)
        return Process(kind, language, code=code, **common)
    if kind == "shell":
        return Process(kind, filled["command"], **common)
    for key in ("ports", "volumes"):
        if filled.get(key):
            raise standard("configuration", f"`{key}` of a container are not supported: it is sandboxed")
    name = filled.get("name")
    return Process(
        kind,
        filled["image"],
        command=filled.get("command"),
        name=None if name is None else _text(name),
        pull=filled.get("pullPolicy", "ifNotPresent"),
        **common,
    )


def _output(result: ProcessResult, form: str, ref: str) -> Any:
    """What `return` asks for. Raises Fault where the process failed, and its code is not asked for."""
    if form == "all":
        return {"code": result.code, "stdout": result.stdout, "stderr": result.stderr}
    if form == "code":
        return result.code
    if result.code != 0:
        shown = (result.stderr or result.stdout).strip()[-500:]
        raise standard("runtime", f"{ref} ended with the code {result.code}" + (f": {shown}" if shown else ""))
    return {"stdout": result.stdout, "stderr": result.stderr, "none": None}[form]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
