"""No contract was named: an app or fnctl's own event handler, whichever the callable looks like."""

from __future__ import annotations

from fnctl_agent.contracts.binding import Contract, Load
from fnctl_agent.interface import Found, Kind, classify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ByShape(Contract):
    runs_files = True

    def adopt(self, target: Any, name: str, load: Load) -> Found:
        found = classify(target, name)
        if found.kind is not Kind.EVENT:
            return found
        from fnctl_agent.contracts import event  # what web apps do not need

        return event.CONTRACT.adopt(target, name, load)


CONTRACT = ByShape()
