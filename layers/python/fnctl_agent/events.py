"""Event-shaped functions: request in, a call as the contract has it, response out. The contracts are in contracts/."""

from __future__ import annotations

from fnctl_agent.contracts.binding import Binding, Load, Refused, received
from fnctl_agent.exchange import Application
from fnctl_agent.interface import Found
from fnctl_agent.later import Later
from fnctl_agent.wire import Request, Response, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import inspect
    from typing import Any
else:
    asyncio, inspect = Later("asyncio"), Later("inspect")

_PLAIN = (dict, str, bytes, list, type(None))  # results that need no second look


def events(found: Found, load: Load, loop: asyncio.AbstractEventLoop | None) -> Application:
    """The application that calls the function. Coroutines run on `loop`, where there is one, else on a new one each."""
    handler = found.target
    binding: Binding = found.binding

    def call(request: Request, response: Response) -> None:
        incoming = received(request, load)
        try:
            arguments = binding.arguments(incoming)
        except Refused as refusal:
            status, headers, content = refusal.result()
        else:
            result = handler(*arguments)
            if type(result) not in _PLAIN and inspect.isawaitable(result):
                result = _wait(result, loop)
            status, headers, content = binding.response(result, incoming)
        response.start(status, reason(status), headers, length=len(content))
        response.send(content)

    return call


def _wait(awaitable: Any, loop: asyncio.AbstractEventLoop | None) -> Any:
    async def finish() -> Any:
        return await awaitable

    if loop is None:
        return asyncio.run(finish())
    return asyncio.run_coroutine_threadsafe(finish(), loop).result()
