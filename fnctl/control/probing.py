"""Whether a version that is loaded answers: one GET to it, as a client would make it, before any client does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from fnctl.dispatch.invocation import Invocations
from fnctl.errors import LoadError
from fnctl.sandbox.loading import Code
from fnctl.triggers.http.call import Answer, Call, CallRequest

BAD = 400
SHOWN = 2000  # of its answer, and of what it printed
_HEADERS = b"Host: health.localhost\r\nUser-Agent: fnctl-health\r\nAccept: */*\r\n"


async def probe(invocations: Invocations, code: Code, path: str, printed: Iterable[str]) -> None:
    """LoadError where the answer is none or a status of 400 and above: with what it said, and what it `printed` by
    then. An invocation like any other: it has a receipt, and the function's `timeout`."""
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    request = CallRequest(b"GET", path.encode(), _HEADERS, b"")
    id = invocations.next_id(time.time())
    Call(invocations, code.function, request, answer.set_result, id=id, site=code.site).start()
    got = await answer
    if got.error is None and got.status < BAD:
        return
    what = got.error.message if got.error is not None else f"answered {got.status}"
    raise LoadError(
        f"{code.function.name} is not healthy: GET {path}: {what}",
        hint=f"the version before keeps serving; `fnctl logs --id {id}` has this call",
        detail=_told(got, printed),
    )


def _told(got: Answer, printed: Iterable[str]) -> str | None:
    said = got.error.detail if got.error is not None else got.body.decode("utf-8", "replace")
    parts = [(said or "").strip()[:SHOWN], "\n".join(printed)[-SHOWN:]]
    return "\n".join(part for part in parts if part) or None
