"""One task on its way: where it stands, what it is given, and what its expressions see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """`ref`: the task in the definition, a JSON pointer. `key`: this visit of it, which no other in the run has.

    `variables`: those of loops and catches around it. `plain`: extensions do not apply (it belongs to one).
    """

    ref: str
    key: str
    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = False

    def below(self, word: str, visit: str = "", **variables: Any) -> Place:
        """The place of a list of tasks within this one."""
        more = {**self.variables, **variables} if variables else self.variables
        return Place(f"{self.ref}/{word}", f"{self.key}/{word}{visit}", self.name, more, self.plain)

    def task(self, index: int, name: str, visit: int) -> Place:
        """The place of a task in the list at this one."""
        word = f"{index}/{_escaped(name)}"
        again = f"~{visit}" if visit else ""
        return Place(f"{self.ref}/{word}", f"{self.key}/{word}{again}", name, self.variables, self.plain)


@dataclass(slots=True)
class Frame:
    """A task that runs. `input`: what `input.from` made of `raw`."""

    place: Place
    kind: str
    task: Mapping[str, Any]
    raw: Any
    input: Any
    attempt: int = 1
    begun: float = 0.0
    output: Any = None

    def described(self) -> dict[str, Any]:
        """`$task`."""
        return {
            "name": self.place.name,
            "reference": self.place.ref,
            "definition": self.task,
            "input": self.raw,
            "output": self.output,
            "startedAt": moment(self.begun),
        }


def moment(at: float) -> dict[str, Any]:
    """A time as the specification describes it to expressions."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"iso8601": text, "epoch": {"seconds": int(at), "milliseconds": int(at * 1000)}}


def _escaped(name: str) -> str:
    """RFC 6901."""
    return name.replace("~", "~0").replace("/", "~1")
