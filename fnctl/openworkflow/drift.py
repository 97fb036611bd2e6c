"""Whether a definition still fits what a run of another has done. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fnctl.openworkflow.definition import Definition
from fnctl.openworkflow.history import History
from fnctl.openworkflow.validation import kind_of


def drift(history: History, definition: Definition) -> list[str]:
    """What does not fit, each step once, in the order of their beginning; nothing where all does."""
    told: dict[str, None] = {}
    for entry in history.begun.values():
        if "/function" in entry["ref"] or "/before/" in entry["ref"] or "/after/" in entry["ref"]:
            continue  # reached by the task that it belongs to
        found = _at(definition.data, entry["ref"])
        name = entry["ref"].rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        place = entry["ref"].rpartition("/")[0]
        if found is None:
            told[f"step {place} was `{name}`, and is there no more"] = None
        elif found[0] != name:
            told[f"step {place} was `{name}`, is `{found[0]}`"] = None
        elif (kind := kind_of(found[1])) != entry["kind"]:
            told[f"step {place} `{name}` was a `{entry['kind']}`, is a `{kind}`"] = None
    return list(told)


def _at(data: Any, ref: str) -> tuple[str, Mapping[str, Any]] | None:
    """The task that stands there now, whatever it is called: `/do/2/charge` is the third task of `do`."""
    *words, _ = [word.replace("~1", "/").replace("~0", "~") for word in ref.split("/")[1:]]
    for word in words:
        if isinstance(data, list):
            data = data[int(word)] if word.isdigit() and int(word) < len(data) else None
        else:
            data = data.get(word) if isinstance(data, Mapping) else None
        if data is None:
            return None
    if not isinstance(data, Mapping) or len(data) != 1:
        return None
    ((name, task),) = data.items()
    return (name, task) if isinstance(task, Mapping) else None
