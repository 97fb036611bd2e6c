"""A step's call of a function: through the same admission, limits and receipts as every other call."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

from fnctl.dispatch.invocation import Invocations
from fnctl.model import Contract, Function
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.world import HttpRequest, HttpResponse, Step
from fnctl.triggers.http.call import Answer, Call, CallRequest
from fnctl.triggers.queue.records import fields

# Where code of these platforms gets an event, and not a request.
_EVENT_PATHS = {
    Contract.LAMBDA: "/2015-03-31/functions/{name}/invocations",
    Contract.FC_EVENT: "/2023-03-30/functions/{name}/invocations",
    Contract.FC3_HTTP: "/2023-03-30/functions/{name}/invocations",
}


class Calls:
    """On the event loop's thread."""

    def __init__(
        self, invocations: Invocations, find: Callable[[str], Function | None], now: Callable[[], float]
    ) -> None:
        """`find`: a function of the project by its name, as it is now. `now`: for ids and receipts."""
        self._invocations = invocations
        self._find = find
        self._now = now

    async def function(self, step: Step, name: str, arguments: Any) -> Any:
        """Its JSON for ours. Raises Fault."""
        path = "/"
        function = self._found(name)
        if function.contract in _EVENT_PATHS:
            path = _EVENT_PATHS[function.contract].format(name=name)
        body = json.dumps(arguments, ensure_ascii=False).encode("utf-8", "replace")
        request = HttpRequest("POST", path, {"content-type": "application/json"}, body)
        response = await self.request(step, name, request)
        if not 200 <= response.status < 300:
            shown = response.body[:500].decode("utf-8", "replace").strip()
            detail = f"the function {name} answered {response.status}" + (f": {shown}" if shown else "")
            raise standard("communication", detail, status=response.status)
        return _read(response)

    async def request(self, step: Step, name: str, request: HttpRequest) -> HttpResponse:
        """`request.url` is path and query. Raises Fault where the function gives no answer."""
        function = self._found(name)
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def tell(answer: Answer) -> None:
            if not told.done():
                told.set_result(answer)

        now = self._now()
        id = self._invocations.next_id(now)
        call = Call(
            self._invocations, function, _packed(step, name, request), tell, id=id, attempt=step.attempt, at=now
        )
        call.start()
        try:
            answer = await told
        except asyncio.CancelledError:
            call.cancel("cancelled")
            raise
        if answer.error is not None:
            detail = f"the function {name} failed: {answer.error.message}"
            raise standard("communication", detail, status=answer.error.http_status)
        if answer.cut:
            raise standard("communication", f"the answer of the function {name} is too large to be kept", status=413)
        return HttpResponse(answer.status, fields(answer.headers), answer.body)

    def _found(self, name: str) -> Function:
        function = self._find(name)
        if function is None:
            raise standard("configuration", f"there is no function `{name}` any more", status=404)
        if function.durable is not None:
            raise standard("configuration", f"`{name}` is a durable function, which a step cannot call")
        return function


def _packed(step: Step, name: str, request: HttpRequest) -> CallRequest:
    said = {
        "Host": f"{name}.localhost",
        **{key.title(): value for key, value in request.headers.items()},
        "Idempotency-Key": str(uuid.uuid5(uuid.NAMESPACE_URL, step.word)),
    }
    lines = "".join(f"{key}: {value}\r\n" for key, value in said.items() if "\r" not in value and "\n" not in value)
    return CallRequest(request.method.encode(), request.url.encode(), lines.encode(), request.body or b"")


def _read(response: HttpResponse) -> Any:
    if not response.body:
        return None
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return response.body.decode("utf-8", "replace")
