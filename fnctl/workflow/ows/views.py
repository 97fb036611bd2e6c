"""A run as it is shown: its steps, one row each, and its log's entries. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fnctl.openworkflow.graph import state_of
from fnctl.openworkflow.history import History

_SHOWN = ("step", "kind", "attempt", "due", "then", "state", "reason", "error", "event", "definition", "name", "length")
_IO = ("input", "output", "context", "value", "how")


def steps_of(history: History) -> list[dict[str, Any]]:
    """In the order of their beginning."""
    rows = []
    for key, begun in history.begun.items():
        row: dict[str, Any] = {
            "step": key,
            "name": begun["ref"].rpartition("/")[2],
            "kind": begun["kind"],
            "state": state_of(history, key),
            "attempts": history.attempts.get(key, 1),
            "began": begun["at"],
        }
        over = history.completed.get(key) or history.failed.get(key)
        if over is not None:
            row["ended"] = over["at"]
        if key in history.failed:
            row["error"] = history.failed[key]["error"]
        if row["state"] == "waiting":
            row["until"] = history.waiting.get(key)
        rows.append(row)
    return rows


def told(number: int, entry: Mapping[str, Any], *, io: bool) -> dict[str, Any]:
    """One entry of the log. `io`: with what went in and out."""
    said: dict[str, Any] = {"number": number, "type": entry["type"], "at": entry["at"]}
    said |= {key: entry[key] for key in _SHOWN if key in entry}
    if io:
        said |= {key: entry[key] for key in _IO if key in entry}
    return said
