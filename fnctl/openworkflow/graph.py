"""A definition as a graph of boxes, with what a run has made of each. Pure; the drawing is in drawing.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fnctl.openworkflow.frame import Place
from fnctl.openworkflow.history import History
from fnctl.openworkflow.validation import kind_of, task_lists

# The one that counts where a task was visited several times, the first first.
STATES = ("running", "waiting", "failed", "undone", "cut", "completed", "skipped", "pending")
_LABELS = {
    "catch/do": "catch",
    "foreach/do": "each event",
    "compensate": "undo",
    "with/subscription/foreach/do": "each",
}


@dataclass(slots=True)
class Box:
    """One task. `groups`: the lists of tasks within it, each with what it is for. `beside`: they run side by side."""

    name: str
    kind: str
    state: str = "pending"
    visits: int = 0
    attempts: int = 0
    began: float | None = None
    ended: float | None = None
    note: str = ""
    then: str = ""
    beside: bool = False
    groups: list[tuple[str, list[Box]]] = field(default_factory=list)


def graph(data: Mapping[str, Any], history: History | None = None) -> list[Box]:
    """The tasks of a definition. `history`: of a run of it."""
    known = _by_ref(history) if history is not None else {}
    return _boxes(Place("", "", "").below("do"), data["do"], known)


@dataclass(slots=True)
class _Seen:
    states: list[str] = field(default_factory=list)
    attempts: int = 0
    began: float | None = None
    ended: float | None = None
    note: str = ""


def _by_ref(history: History) -> dict[str, _Seen]:
    found: dict[str, _Seen] = {}
    for key, entry in history.begun.items():
        seen = found.setdefault(entry["ref"], _Seen())
        seen.states.append(state_of(history, key))
        seen.attempts += history.attempts.get(key, 1)
        seen.began = entry["at"] if seen.began is None else min(seen.began, entry["at"])
        over = history.completed.get(key) or history.failed.get(key)
        if over is not None:
            seen.ended = max(seen.ended or 0.0, over["at"])
        if key in history.failed:
            error = history.failed[key]["error"]
            seen.note = f"{error['status']} {error.get('title', '')}".strip()
    for entry in history.entries:
        if entry["type"] == "skipped":
            found.setdefault(entry["ref"], _Seen()).states.append("skipped")
    return found


def state_of(history: History, key: str) -> str:
    """Of one visit of a task that has begun."""
    if key in history.undone:
        return "undone"
    if key in history.completed:
        return "completed"
    if key in history.failed:
        return "failed"
    if history.ended is not None:
        return "cut"
    return "waiting" if history.begun[key]["kind"] in ("wait", "listen") else "running"


def _boxes(place: Place, tasks: list[Mapping[str, Any]], known: Mapping[str, _Seen]) -> list[Box]:
    made = []
    for index, item in enumerate(tasks):
        for name, task in item.items():
            made.append(_box(place.task(index, name, 0), task, known))
    return made


def _box(place: Place, task: Mapping[str, Any], known: Mapping[str, _Seen]) -> Box:
    kind = kind_of(task) or ""
    box = Box(place.name, kind, then=str(task.get("then", "")), beside=kind == "fork")
    seen = known.get(place.ref)
    if seen is not None:
        box.state = min(seen.states, key=STATES.index)
        box.visits, box.attempts, box.note = len(seen.states), seen.attempts, seen.note
        box.began, box.ended = seen.began, seen.ended
    if not box.note:
        box.note = _about(kind, task)
    for path, tasks in task_lists(task):
        word = "/".join(map(str, path))
        box.groups.append((_LABELS.get(word, ""), _boxes(place.below(word), tasks, known)))
    return box


def _about(kind: str, task: Mapping[str, Any]) -> str:
    """What a task does, in a word or two."""
    if kind == "call":
        call = str(task["call"])
        return call if call != "http" else f"{task['with'].get('method', '')} http".upper()
    if kind == "run":
        return next((each for each in ("container", "script", "shell", "workflow") if each in task["run"]), "")
    if kind == "switch":
        return " · ".join(f"{name} → {case['then']}" for item in task["switch"] for name, case in item.items())
    if kind == "for":
        return f"each {task['for'].get('each', 'item')} in {task['for']['in']}"
    return ""
