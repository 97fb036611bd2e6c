"""A definition against the specification's schema: what it refuses, told on its line, with the nearest word."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from fnctl.openworkflow.reading import Path, Source

KINDS = ("call", "do", "fork", "emit", "for", "listen", "raise", "run", "set", "switch", "try", "wait")
# `do` also stands in a `for`: the more telling word first.
_BY_WORD = ("for", "call", "fork", "emit", "listen", "raise", "run", "set", "switch", "try", "wait", "do")
_BASE = ("if", "input", "output", "export", "timeout", "then", "metadata", "compensate")
_CALLS = {"asyncapi": 0, "grpc": 1, "http": 2, "openapi": 3, "a2a": 4, "mcp": 5}
# Where lists of tasks stand below a task, by its kind.
_LISTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "do": (("do",),),
    "for": (("do",),),
    "fork": (("fork", "branches"),),
    "try": (("try",), ("catch", "do")),
    "listen": (("foreach", "do"),),
    "call": (("with", "subscription", "foreach", "do"),),
}


@cache
def schema() -> dict[str, Any]:
    """The specification's, with our one extension: `compensate` at a task."""
    made: dict[str, Any] = json.loads((files("fnctl.openworkflow") / "schema" / "workflow-1.0.3.json").read_text())
    made["$defs"]["taskBase"]["properties"]["compensate"] = {
        "$ref": "#/$defs/taskList",
        "title": "TaskBaseCompensate",
        "description": "An extension of fnctl: tasks that undo this one, where the run faults or is cancelled later.",
    }
    return made


@cache
def _validator(part: str) -> Draft202012Validator:
    """Of the whole, or of one definition within the schema (`#/$defs/…`)."""
    whole = schema()
    return Draft202012Validator({"$defs": whole["$defs"], "$ref": part} if part else whole)


def kind_of(task: Mapping[str, Any]) -> str | None:
    """Which of the specification's kinds a task is; None where it is none."""
    for word in _BY_WORD:
        if word in task:
            return word
    return None


def task_lists(task: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
    """The lists of tasks directly below a task, each with its path from there."""
    places = (*_LISTS.get(kind_of(task) or "", ()), ("compensate",))
    for place in places:
        found: Any = task
        for step in place:
            found = found.get(step) if isinstance(found, Mapping) else None
        if isinstance(found, list):
            yield place, found


def validate(source: Source) -> None:
    """Tell of what the schema refuses. Nothing is added where it refuses nothing.

    Each task is held against the schema of its own kind, without the tasks below it: that says the same as the whole
    schema, more plainly, and takes a hundredth of the time (the whole tries each of twelve kinds at each level).
    """
    if not isinstance(source.data, dict):
        if not source.troubles:
            source.trouble((), "a definition is an object", "it begins with `document:`")
        return
    before = len(source.troubles)
    for key in ("document", "do"):
        if key not in source.data:
            hint = near(key, source.data)
            source.trouble((), f"`{key}` is missing", f"`{hint}` stands there" if hint else None)
    parts = [((), "", _frame(source.data)), *_functions(source.data)]
    for path, tasks in all_lists(source.data):
        parts += [
            ((*path, index, name), _part(task), _alone(task)) for index, name, task in _shaped(source, path, tasks)
        ]
    if len(source.troubles) == before:
        for path, part, value in parts:
            _held(source, path, part, value)


def _frame(data: Mapping[str, Any]) -> dict[str, Any]:
    """A definition without its tasks."""
    use = data.get("use")
    if isinstance(use, Mapping):
        use = {**use}
        if isinstance(use.get("functions"), Mapping):
            use["functions"] = {}
        if isinstance(use.get("extensions"), list):
            use["extensions"] = [_bare(item) for item in use["extensions"]]
        data = {**data, "use": use}
    return {**data, "do": []}


def _bare(item: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    lists = ("before", "after")
    return {
        name: {key: [] if key in lists else value for key, value in each.items()} if isinstance(each, Mapping) else each
        for name, each in item.items()
    }


def _functions(data: Mapping[str, Any]) -> Iterator[tuple[Path, str, Any]]:
    use = data.get("use")
    functions = use.get("functions") if isinstance(use, Mapping) else None
    for name, task in (functions if isinstance(functions, Mapping) else {}).items():
        fits = isinstance(task, Mapping) and kind_of(task) is not None
        yield ("use", "functions", name), _part(task) if fits else "#/$defs/task", _alone(task) if fits else task


def _part(task: Mapping[str, Any]) -> str:
    """The part of the schema for a task of its kind."""
    kind = kind_of(task)
    if kind == "call":
        return f"#/$defs/callTask/oneOf/{_CALLS.get(str(task['call']), 6)}"
    return f"#/$defs/{kind}Task"


def _alone(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task without the tasks below it."""
    made: dict[str, Any] = dict(task)
    for place, _ in task_lists(task):
        within = made
        *above, last = map(str, place)
        for step in above:
            within[step] = dict(within[step])
            within = within[step]
        within[last] = []
    return made


def _held(source: Source, path: Path, part: str, value: Any) -> None:
    """One part against its schema; where a nearest word is known for something, that says the most."""
    found = [each for error in _validator(part).iter_errors(value) for each in _told(error, path)]
    telling = [each for each in found if each[2] is not None and each[2].startswith("did you mean")]
    known = [each for each in found if each[0]]
    for at, text, hint in dict.fromkeys(telling or known or found):
        source.trouble(at, text or "is not valid here", hint)


def all_lists(data: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Every list of tasks in a definition, the outer ones first."""
    if "do" in data:
        yield from _below(("do",), data["do"])
    use = data.get("use")
    if not isinstance(use, Mapping):
        return
    functions = use.get("functions")
    for name, task in (functions if isinstance(functions, Mapping) else {}).items():
        for place, tasks in task_lists(task) if isinstance(task, Mapping) else ():
            yield from _below(("use", "functions", name, *place), tasks)
    for index, item in enumerate(use.get("extensions") or ()):
        for name, extension in item.items() if isinstance(item, Mapping) else ():
            for key in ("before", "after"):
                if isinstance(extension, Mapping) and key in extension:
                    yield from _below(("use", "extensions", index, name, key), extension[key])


def _below(path: Path, tasks: Any) -> Iterator[tuple[Path, Any]]:
    yield path, tasks
    for index, item in enumerate(tasks if isinstance(tasks, list) else ()):
        for name, task in item.items() if isinstance(item, Mapping) else ():
            for place, below in task_lists(task) if isinstance(task, Mapping) else ():
                yield from _below((*path, index, name, *place), below)


def _shaped(source: Source, path: Path, tasks: Any) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """The tasks of a list, with index and name. Tells of what the schema would say least clearly: an item with two
    tasks, a task of no kind."""
    if not isinstance(tasks, list):
        source.trouble(path, f"`{path[-1]}` is a list of tasks", "each item is `- NAME:` with the task below it")
        return
    for index, item in enumerate(tasks):
        here = (*path, index)
        if not isinstance(item, Mapping) or len(item) != 1:
            found = ", ".join(f"`{key}`" for key in item) if isinstance(item, Mapping) else repr(item)
            source.trouble(here, f"an item holds one task, and not {found or 'none'}", "begin each task with `- NAME:`")
            continue
        ((name, task),) = item.items()
        if not isinstance(task, Mapping):
            source.trouble((*here, name), f"the task `{name}` is not an object")
        elif kind_of(task) is None:
            odd = next((key for key in task if key not in _BASE), None)
            at = (*here, name, odd) if odd else (*here, name)
            what = f"`{odd}` of the task `{name}` is none of the kinds of tasks" if odd else f"`{name}` is of no kind"
            hint = near(odd, KINDS) if odd else None
            source.trouble(at, what, f"did you mean `{hint}`?" if hint else f"kinds: {', '.join(KINDS)}")
        else:
            yield index, name, task


def near(word: str | None, known: Any) -> str | None:
    """The known word that is most like it."""
    found = get_close_matches(word or "", [str(each) for each in known], n=1)
    return found[0] if found else None


_Told = tuple[Path, str, "str | None"]


def _told(error: ValidationError, base: Path) -> list[_Told]:
    """What is said of an error: of several ways to write something, about the one that was meant."""
    if error.validator in ("oneOf", "anyOf") and error.context:
        branches: dict[int, list[ValidationError]] = {}
        for each in error.context:
            branches.setdefault(int(each.relative_schema_path[0]), []).append(each)
        return [told for each in min(branches.values(), key=_distance) for told in _told(each, base)]
    return [_words(error, (*base, *error.absolute_path))]


def _distance(errors: list[ValidationError]) -> tuple[int, int, int]:
    """How far from it a branch is: a missing key and a wrong type say that another was meant."""
    wrong = sum(
        1 for each in errors if each.validator in ("required", "type", "const", "not") and not each.relative_path
    )
    deepest = max((len(each.absolute_path) for each in errors), default=0)
    return wrong, -deepest, len(errors)


def _words(error: ValidationError, path: Path) -> _Told:
    """Where, what and a hint. No path and no words: it is only that something within is wrong."""
    name = str(path[-1]) if path else "the definition"
    if error.validator in ("unevaluatedProperties", "additionalProperties") and isinstance(error.instance, Mapping):
        known = _properties(error.schema)
        odd = next((key for key in error.instance if key not in known), None)
        if odd is None:
            return (), "", None
        hint = near(odd, known)
        about = f"did you mean `{hint}`?" if hint else f"known: {', '.join(sorted(known))}"
        return (*path, odd), f"`{odd}` is not known in `{name}`", about
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "required":
        missing = [key for key in wanted if key not in instance]
        like = near(missing[0], error.instance) if missing else None
        about_like = f"did you mean `{missing[0]}` by `{like}`?" if like else None
        return path, f"`{name}` needs {' and '.join(f'`{key}`' for key in missing)}", about_like
    if error.validator == "enum":
        hint = near(str(error.instance), wanted)
        words = ", ".join(map(str, wanted))
        return path, f"`{name}` cannot be `{error.instance}`", f"did you mean `{hint}`?" if hint else f"known: {words}"
    if error.validator == "type":
        return path, f"`{name}` cannot be {_shown(error.instance)}", f"it is of the type {wanted}"
    if error.validator == "pattern":
        return path, f"`{name}` cannot be {_shown(error.instance)}", f"it matches {wanted}"
    if error.validator is None:
        return path, f"`{name}` cannot stand here", None
    return path, f"`{name}`: {error.message[:200]}", None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _properties(part: Any, depth: int = 0) -> set[str]:
    """The keys that a part of the schema knows."""
    if not isinstance(part, Mapping) or depth > 6:
        return set()
    found = set(part.get("properties", ()))
    if isinstance(part.get("$ref"), str):
        found |= _properties(schema()["$defs"][part["$ref"].rpartition("/")[2]], depth + 1)
    for key in ("allOf", "oneOf", "anyOf"):
        for each in part.get(key, ()):
            found |= _properties(each, depth + 1)
    return found
