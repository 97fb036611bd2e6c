"""Makes packs: loads a function once, as the agent would, or starts the agent; serves nothing, writes and leaves."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, NoReturn

from fnctl_agent import contracts, packing, program, vendored
from fnctl_agent import main as main  # all that the agent itself imports
from fnctl_agent.capture import capture
from fnctl_agent.interface import Found, Kind
from fnctl_agent.listening import Address
from fnctl_agent.noting import Noting
from fnctl_agent.pack import AHEAD, BOOT
from fnctl_agent.preload import preload, preload_own

# Where a load waits for what is not there (a database, the network), what was imported by then is worth keeping.
LONGEST_S = 5


def agent(noting: Noting) -> None:
    """Of the agent's own start, and of what it imports ahead."""
    servers = vendored.load()
    contracts.contract_of({})
    preload_own()
    packing.write_boot(noting.seen, BOOT)
    noting.seen.clear()
    preload()
    servers.preload()
    packing.write_boot(noting.seen, AHEAD)


class _Leaving:
    """Takes what would be served, and leaves (capture.Taker)."""

    def __init__(self, leave: Callable[..., NoReturn]) -> None:
        self._leave = leave

    def serve(self, found: Any) -> None:
        _as_served(found)
        self._leave()

    async def serve_in_loop(self, found: Any) -> None:
        self._leave()

    def accept_in_loop(self, factory: Any, port: int) -> None:
        self._leave()

    def relay(self, port: int) -> None:
        self._leave()

    def bind(self, address: Address) -> Address:
        return address


def function(noting: Noting, root: str, handler: str, cache: str, contract: str = "") -> NoReturn:
    """Of a function's load. Never returns. Whatever became of the load: the pack holds the modules that it came to."""

    def leave(*_: Any) -> NoReturn:
        try:
            packing.write_load(noting.seen, cache, root, _main(root, handler))
        finally:
            os._exit(0)

    signal.signal(signal.SIGALRM, leave)
    signal.alarm(LONGEST_S)
    os.environ["PORT"] = "3000"
    capture(_Leaving(leave))
    load = {"root": root, "handler": handler, "port": 3000, **({"contract": contract} if contract else {})}
    try:
        program.prepare(root, handler)
        _as_served(program.run(load, contracts.contract_of(load)))
    except BaseException as error:  # the load's root
        sys.stderr.write(program.trace(error) or f"{error}\n")
    leave()


def _as_served(found: Found) -> None:
    """What serving it imports from the standard library is worth keeping, too."""
    if found.kind is Kind.WSGI:
        importlib.import_module("fnctl_agent.wsgi")


def _main(root: str, handler: str) -> CodeType | None:
    if not handler.endswith(".py"):
        return None
    try:
        return program.compiled(program.place(root, handler))
    except (OSError, SyntaxError, ValueError):
        return None
