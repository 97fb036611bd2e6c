"""A web app: WSGI, ASGI, a factory of one, or a main program that serves itself. What answers no HTTP is refused."""

from __future__ import annotations

from typing import Any

from fnctl_agent.contracts.binding import Contract, Load, place
from fnctl_agent.interface import Found, Kind, NotCallable, classify, described


class Web(Contract):
    runs_files = True

    def adopt(self, target: Any, name: str, load: Load) -> Found:
        found = classify(target, name)
        if found.kind is Kind.EVENT:
            what = f"{name} is {described(target)} that is neither a WSGI nor an ASGI app"
            raise NotCallable(f"{what}, which the contract `web` asks for", place(target))
        return found


CONTRACT = Web()
