"""A run's log folded: what is known of each step. Pure; the same entries always give the same.

started  input, when             begun      a step, its attempt and input     completed  its output, and where it leads
failed   a step, its fault       skipped    its `if` was false                waiting    until when
decided  a condition, once for all
retrying when it comes again     event      that a step has consumed          unwinding  undo what was done, and why
undone   a step                  rewound    forget what came after a step     ended      how
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Entry = Mapping[str, Any]


class History:
    """Of one run."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries: list[Entry] = []
        self.attempts: dict[str, int] = {}  # never falls, whatever is rewound: no attempt is opened twice
        self._clear()
        for entry in entries:
            self.fold(entry)

    def _clear(self) -> None:
        self.started: Entry | None = None
        self.ended: Entry | None = None
        self.unwinding: Entry | None = None
        self.begun: dict[str, Entry] = {}  # the first attempt's
        self.completed: dict[str, Entry] = {}
        self.numbers: dict[str, int] = {}  # of completed steps: which entry says so
        self.failed: dict[str, Entry] = {}
        self.skipped: set[str] = set()
        self.decided: dict[str, Any] = {}
        self.waiting: dict[str, float] = {}
        self.retries: dict[str, list[Entry]] = {}
        self.events: dict[str, list[Entry]] = {}
        self.undone: dict[str, Entry] = {}
        self.context: Any = None
        self.context_number = 0

    def fold(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry["type"] == "rewound":
            self._rewind(entry)
        else:
            self._take(entry, len(self.entries))

    def _take(self, entry: Entry, number: int) -> None:
        step = entry.get("step", "")
        match entry["type"]:
            case "started":
                self.started = entry
            case "begun":
                self.begun.setdefault(step, entry)
                self.attempts[step] = max(self.attempts.get(step, 0), entry["attempt"])
            case "completed":
                self.completed[step] = entry
                self.numbers[step] = number
                if "context" in entry:
                    self.context, self.context_number = entry["context"], number
            case "failed":
                self.failed[step] = entry
            case "skipped":
                self.skipped.add(step)
            case "decided":
                self.decided[step] = entry.get("value")
            case "waiting":
                self.waiting.setdefault(step, entry["due"])
            case "retrying":
                self.retries.setdefault(step, []).append(entry)
            case "event":
                self.events.setdefault(step, []).append(entry)
            case "unwinding":
                self.unwinding = entry
            case "undone":
                self.undone[step] = entry
            case "ended":
                self.ended = entry

    def _rewind(self, entry: Entry) -> None:
        """As if nothing after this step's beginning had happened, but for the numbers of attempts."""
        kept = [(number, each) for number, each in enumerate(self.entries[: entry["length"]], 1)]
        self._clear()
        for number, each in kept:
            if each["type"] == "rewound":
                self._rewind(each)
            else:
                self._take(each, number)

    def undoable(self) -> list[Entry]:
        """The completed steps that say how they are undone, the last first."""
        found = [each for each in self.completed.values() if each.get("undo") is not None]
        return sorted(found, key=lambda each: self.numbers[each["step"]], reverse=True)

    def state(self) -> str:
        """pending, running, unwinding; completed, faulted, cancelled."""
        if self.ended is not None:
            return str(self.ended["state"])
        if self.unwinding is not None:
            return "unwinding"
        return "running" if self.started is not None else "pending"

    def definition(self) -> str:
        """The digest of the definition that the run goes by; "" where its log names none."""
        for entry in reversed(self.entries):
            if "definition" in entry:
                return str(entry["definition"])
        return ""
