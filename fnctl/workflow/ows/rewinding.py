"""From which step a run that ended is to go on, and what its log says of that. Pure."""

from __future__ import annotations

from typing import Any

from fnctl.errors import ConflictError, UsageError
from fnctl.openworkflow.history import History


def entry(history: History, step: str | None, at: float) -> dict[str, Any]:
    """The log's next entry, by which the step and all after it are to be made again.

    `step`: its key, its reference or its name; None: the one that failed. `at`: seconds since the epoch. Raises
    UsageError where there is none, ConflictError where one before it was undone.
    """
    key = _from(history, step)
    length = next(i for i, each in enumerate(history.entries) if each["type"] == "begun" and each["step"] == key)
    gone = [each["step"] for each in history.undone.values() if history.numbers.get(each["step"], 0) <= length]
    if gone:
        raise ConflictError(f"{gone[-1]} was undone when the run failed", hint=f"retry from there: --from {gone[-1]}")
    return {"type": "rewound", "at": at, "step": key, "length": length}


def _from(history: History, step: str | None) -> str:
    begun = [entry for entry in history.entries if entry["type"] == "begun"]
    if step is None:
        where = ((history.ended or {}).get("error") or {}).get("instance")
        failed = [entry for entry in begun if entry["ref"] == where and entry["step"] in history.failed]
        if not begun:
            raise UsageError("the run has no step", hint="start another run")
        return str((failed or begun)[-1]["step"])
    for each in reversed(begun):
        if step in (each["step"], each["ref"], each["ref"].rpartition("/")[2]):
            return str(each["step"])
    names = dict.fromkeys(entry["ref"].rpartition("/")[2] for entry in begun)
    raise UsageError(f"the run has no step `{step[:100]}`", hint=f"its steps: {', '.join(names)}")
