"""No contract was named: an app or fnctl's own event handler, whichever the callable looks like."""

from __future__ import annotations

from typing import Any

from fnctl_agent.contracts import event
from fnctl_agent.contracts.binding import Contract, Load
from fnctl_agent.interface import Found, Kind, classify


class ByShape(Contract):
    runs_files = True

    def adopt(self, target: Any, name: str, load: Load) -> Found:
        found = classify(target, name)
        return event.CONTRACT.adopt(target, name, load) if found.kind is Kind.EVENT else found


CONTRACT = ByShape()
