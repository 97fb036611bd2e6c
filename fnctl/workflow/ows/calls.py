"""A step's call of a function: through the same admission, limits and receipts as every other call."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

from fnctl.dispatch.invocation import Invocations
from fnctl.dispatch.pinned import Versions
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
_encode = json.JSONEncoder(ensure_ascii=False).encode  # made once: json.dumps makes one a call


class Calls:
    """On the event loop's thread."""

    def __init__(
        self,
        invocations: Invocations,
        find: Callable[[str], Function | None],
        now: Callable[[], float],
        pinned: Callable[[str, str], str] = lambda run, function: "",
    ) -> None:
        """`find`: a function of the project by its name, as it is now. `now`: for ids and receipts. `pinned`: the
        digest of a function's bundle that a run began with."""
        self.versions: Versions | None = None  # serve runs that began before the current one
        self._pinned = pinned
        self._invocations = invocations
        self._find = find
        self._now = now

    async def function(self, step: Step, name: str, arguments: Any) -> Any:
        """Its JSON for ours. Raises Fault."""
        function = self._found(name)
        path = _EVENT_PATHS.get(function.contract) if function.contract is not None else None
        target = b"/" if path is None else path.format(name=name).encode()
        head = f"Host: {name}.localhost\r\nContent-Type: application/json\r\nIdempotency-Key: {_key(step)}\r\n".encode()
        body = _encode(arguments).encode("utf-8", "replace")
        answer = await self._answered(step, function, CallRequest(b"POST", target, head, body))
        if not 200 <= answer.status < 300:
            shown = answer.body[:500].decode("utf-8", "replace").strip()
            detail = f"the function {name} answered {answer.status}" + (f": {shown}" if shown else "")
            raise standard("communication", detail, status=answer.status)
        return _read(answer.body)

    async def request(self, step: Step, name: str, request: HttpRequest) -> HttpResponse:
        """`request.url` is path and query. Raises Fault where the function gives no answer."""
        answer = await self._answered(step, self._found(name), _packed(step, name, request))
        return HttpResponse(answer.status, fields(answer.headers), answer.body)

    async def _answered(self, step: Step, function: Function, request: CallRequest) -> Answer:
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def tell(answer: Answer) -> None:
            if not told.done():
                told.set_result(answer)

        pinned = None
        if self.versions is not None and (digest := self._pinned(step.run, function.name)):
            pinned = await self.versions.of(function.name, digest)
        site = pinned.site if pinned is not None else None
        function = pinned.function if pinned is not None else function
        now = self._now()
        id = self._invocations.next_id(now)
        call = Call(self._invocations, function, request, tell, id=id, attempt=step.attempt, at=now, site=site)
        call.start()
        try:
            answer = await told
        except asyncio.CancelledError:
            call.cancel("cancelled")
            raise
        if answer.error is not None:
            detail = f"the function {function.name} failed: {answer.error.message}"
            raise standard("communication", detail, status=answer.error.http_status)
        if answer.cut:
            detail = f"the answer of the function {function.name} is too large to be kept"
            raise standard("communication", detail, status=413)
        return answer

    def _found(self, name: str) -> Function:
        function = self._find(name)
        if function is None and self.versions is not None:
            function = self.versions.left(name)
        if function is None:
            raise standard("configuration", f"there is no function `{name}` any more", status=404)
        if function.durable is not None:
            raise standard("configuration", f"`{name}` is a durable function, which a step cannot call")
        return function


def _key(step: Step) -> str:
    """The same for all attempts of a step."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, step.word))


def _packed(step: Step, name: str, request: HttpRequest) -> CallRequest:
    said = {
        "Host": f"{name}.localhost",
        **{key.title(): value for key, value in request.headers.items()},
        "Idempotency-Key": _key(step),
    }
    lines = "".join(f"{key}: {value}\r\n" for key, value in said.items() if "\r" not in value and "\n" not in value)
    return CallRequest(request.method.encode(), request.url.encode(), lines.encode(), request.body or b"")


def _read(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
