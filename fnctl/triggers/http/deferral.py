"""Requests whose answer takes the store: calls accepted now and made later, and what became of them.

POST … with `Prefer: respond-async` → 202 once the call is on disk, with its id, and in `Location` where its result is.
GET and DELETE of that address: the call's state and result; cancel it where it waits.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fnctl.config.units import duration_s
from fnctl.errors import FnctlError, NotFound, TooLarge, UsageError
from fnctl.model import Contract, Function
from fnctl.triggers.http.body import ChunkedBody
from fnctl.triggers.http.call import NOW, CallRequest, When
from fnctl.triggers.http.found import Match, MethodNotAllowed, Queued, Stored
from fnctl.triggers.http.head import CHUNKED, RequestHead
from fnctl.triggers.http.refusal import REASONS, error_body, error_headers
from fnctl.triggers.http.render import CLOSE, KEEP_ALIVE, answer_head, own_fields
from fnctl.triggers.http.state import GatewayState

if TYPE_CHECKING:
    from fnctl.triggers.http.flows import Flows

BODY_BYTES = 1 << 20  # of a call that is kept
BATCH_BYTES = 2 << 20  # of what is sent to named queues in one request, as JSON writes it
WORD_CHARS = 128  # of a group or a deduplication word
_WORD = re.compile(rf"[!-~]{{1,{WORD_CHARS}}}")
_FC = frozenset({Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP})
# Where a platform's own field asks, its SDKs read the answer: without a body, with the id in a field of theirs.
_PLATFORMS = {
    b"x-amz-invocation-type": (frozenset({Contract.LAMBDA}), b"X-Amzn-RequestId"),
    b"x-fc-invocation-type": (_FC, b"X-Fc-Request-Id"),
}


class Acceptor(Protocol):
    """What keeps deferred calls (triggers/queue)."""

    @property
    def flows(self) -> Flows | None:
        """What runs workflows, where the project has any."""
        ...

    def now(self) -> float:
        """By the clock that calls are made by."""
        ...

    async def accept(self, function: Function, request: CallRequest, when: When) -> str:
        """The call's id, once it is on disk. Raises QueueFull, StoreUnavailable."""
        ...

    async def publish(self, headers: Sequence[tuple[str, str]], body: bytes) -> list[tuple[str, str]]:
        """(function, id of its call) for each that asks for the event. Raises UsageError, and what `accept` raises."""
        ...

    def token(self, id: str) -> str: ...

    def believes(self, id: str, token: str) -> bool: ...

    def asking(self, path: str, head: RequestHead, raw: bytes) -> Asking:
        """A request to the named queues, at `/_fnctl/…`."""
        ...

    async def result(self, id: str) -> dict[str, Any]:
        """Raises NotFound."""
        ...

    async def cancel(self, id: str) -> dict[str, Any]:
        """Raises NotFound, ConflictError."""
        ...


class Presence(Protocol):
    """Whether whoever asked still waits for the answer."""

    def leave(self) -> None:
        """It is gone, or is to be answered now."""
        ...


class Reply(NamedTuple):
    status: int
    headers: bytes  # lines, each with its CRLF
    body: bytes
    id: str  # for the invocation's field


class Asking(Protocol):
    """One request to the named queues. It can wait for its answer, until nobody wants it any more."""

    @property
    def presence(self) -> Presence | None: ...

    async def reply(self, body: bytes) -> Reply:
        """Raises FnctlError."""
        ...


class Client(Protocol):
    """The connection that the request came on (exchange.Client)."""

    closing: bool

    def write(self, data: bytes) -> None: ...

    def finished(self, clean: bool) -> None: ...


class Deferral:
    """In an Exchange's place: takes the request whole, and answers when `produce` has come to a reply.

    A client that leaves changes nothing: what it asked for is accepted all the same.
    """

    tunnelling = False

    def __init__(
        self,
        gateway: GatewayState,
        client: Client,
        head: RequestHead,
        produce: Callable[[bytes], Awaitable[Reply]],
        presence: Presence | None = None,
        most: int = BODY_BYTES,
    ) -> None:
        """`presence`: of the client, for who lets it wait. `most`: bytes of the body, which is kept whole."""
        self.body_bytes: int | None = most if most > BODY_BYTES else None  # None: what all functions take
        self._most = most
        self._presence = presence
        self._gateway = gateway
        self._client = client
        self._head = head
        self._produce = produce
        self._body: list[bytes] = []
        self._size = 0
        self._ended = False
        self._done = False

    def start(self, body: bytes, ended: bool) -> None:
        self.body(body, ended)

    def body(self, data: bytes, ended: bool) -> None:
        self._size += len(data)
        if self._size > 2 * self._most:  # also of tiny chunks; the exact bound is looked at when it is whole
            self.refuse(_too_large(self._most))
            return
        self._body.append(data)
        if ended:
            self._ended = True
            self._gateway.tasks.spawn(self._run())

    def refuse(self, error: FnctlError) -> None:
        self._client.closing = self._client.closing or not self._ended
        self._answer(_refusal(error, self._gateway.next_id(time.time())))

    def abandon(self) -> None:
        self._done = True
        self.drain()
        self._client.finished(True)

    def drain(self) -> None:
        if self._presence is not None:
            self._presence.leave()

    def client_slow(self) -> None:
        pass

    def client_ready(self) -> None:
        pass

    async def _run(self) -> None:
        try:
            reply = await self._produce(self._whole())
        except FnctlError as error:
            reply = _refusal(error, self._gateway.next_id(time.time()))
        self._answer(reply)

    def _whole(self) -> bytes:
        body = b"".join(self._body)
        if self._head.fields.length == CHUNKED:
            body, _ = ChunkedBody().feed(body)
        if len(body) > self._most:
            raise _too_large(self._most)
        return body

    def _answer(self, reply: Reply) -> None:
        if self._done:
            return
        self._done = True
        client, head = self._client, self._head
        connection = CLOSE if client.closing else b"" if head.http_1_1 else KEEP_ALIVE
        own = own_fields(reply.id.encode(), b"", connection)
        lines = answer_head(reply.status, reply.headers, len(reply.body), own, self._gateway.date(time.time()))
        client.write(lines if head.method == b"HEAD" else lines + reply.body)
        client.finished(True)


def asked(match: Match, head: RequestHead) -> bool:
    """Whether this request is to be answered later. A platform's own field counts for code of that platform."""
    field = head.fields.deferral
    if not field:
        return False
    platform = _PLATFORMS.get(field)
    return platform is None or match.function.contract in platform[0]


def accepting(
    acceptor: Acceptor, match: Match, head: RequestHead, raw: bytes, forwarded: bytes
) -> Callable[[bytes], Awaitable[Reply]]:
    """Makes the reply to a request that is `asked` for later. `raw`: its head as it came."""
    headers = head.fields.forward + forwarded + match.headers

    async def produce(body: bytes) -> Reply:
        call = CallRequest(head.method, match.target, headers, body)
        id = await acceptor.accept(match.function, call, when_of(raw, acceptor.now()))
        return _accepted(acceptor, head.fields.deferral, id)

    return produce


def _accepted(acceptor: Acceptor, field: bytes, id: str) -> Reply:
    platform = _PLATFORMS.get(field)
    if platform is not None:
        return Reply(202, b"%b: %b\r\n" % (platform[1], id.encode()), b"", id)
    where = f"{STORED}{id}/{acceptor.token(id)}"
    headers = f"Location: {where}\r\nPreference-Applied: respond-async\r\n".encode() + JSON
    return Reply(202, headers, f'{{"id": "{id}", "url": "{where}"}}\n'.encode(), id)  # both are plain characters


_WHEN = re.compile(rb"(?i)\r\nx-fnctl-(delay|at|group|dedup):[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
STORED = "/_fnctl/invocations/"
JSON = b"Content-Type: application/json\r\nCache-Control: no-store\r\n"


def looking_up(acceptor: Acceptor | None, stored: Stored, head: RequestHead) -> Callable[[bytes], Awaitable[Reply]]:
    """Makes the reply about one deferred call."""

    async def produce(body: bytes) -> Reply:
        id = stored.id
        if acceptor is None or not (stored.trusted or acceptor.believes(id, stored.token)):
            raise NotFound("no deferred call at this address", hint="use the `Location` that its 202 named")
        if head.method == b"DELETE":
            said = await acceptor.cancel(id)
        elif head.method in (b"GET", b"HEAD"):
            said = await acceptor.result(id)
        else:
            raise MethodNotAllowed(f"{head.method.decode()} is not allowed here", ("DELETE", "GET", "HEAD"))
        pending = b"Retry-After: 1\r\n" if "ended" not in said else b""
        return Reply(200, JSON + pending, as_json(said), id)

    return produce


def publishing(acceptor: Acceptor | None, head: RequestHead, raw: bytes) -> Callable[[bytes], Awaitable[Reply]]:
    """Makes the reply to an event for the bus."""

    async def produce(body: bytes) -> Reply:
        if acceptor is None:
            raise NotFound("there is no bus here", hint="`fnctl run` has one")
        if head.method != b"POST":
            raise MethodNotAllowed(f"{head.method.decode()} is not allowed here", ("POST",))
        calls = await acceptor.publish(field_lines(raw), body)
        id = calls[0][1] if calls else ""
        said = {"calls": [{"function": function, "id": call} for function, call in calls]}
        return Reply(202, JSON, as_json(said), id)

    return produce


class _NoQueues:
    presence = None

    async def reply(self, body: bytes) -> Reply:
        raise NotFound("there are no queues here", hint="`fnctl run` has them")


def at_queues(acceptor: Acceptor | None, queued: Queued, head: RequestHead, raw: bytes) -> Asking:
    return _NoQueues() if acceptor is None else acceptor.asking(queued.path, head, raw)


def field_lines(raw: bytes) -> list[tuple[str, str]]:
    """The header fields of a head."""
    lines = (line.partition(b":") for line in raw.split(b"\r\n")[1:] if line)
    return [(name.decode("latin-1"), value.strip(b" \t").decode("utf-8", "replace")) for name, _, value in lines]


def fields_of(raw: bytes) -> dict[str, str]:
    """The same by name in lower case; of one that comes twice, the last."""
    return {name.lower(): value for name, value in field_lines(raw)}


def when_of(raw: bytes, now: float) -> When:
    """From `X-Fnctl-Delay`, `-At`, `-Group` and `-Dedup` of a head. Raises UsageError."""
    said = {name.lower().decode(): value.decode("utf-8", "replace") for name, value in _WHEN.findall(raw)}
    if not said:
        return NOW
    if "delay" in said and "at" in said:
        raise UsageError("X-Fnctl-Delay and X-Fnctl-At exclude each other", hint="send one of them")
    for key in ("group", "dedup"):
        if key in said and not _WORD.fullmatch(said[key]):
            raise UsageError(
                f"X-Fnctl-{key.title()} cannot be {said[key][:80]!r}",
                hint=f"up to {WORD_CHARS} visible ASCII characters, without spaces",
            )
    return When(_due(said, now), said.get("group"), said.get("dedup"))


def _due(said: dict[str, str], now: float) -> float | None:
    if "delay" in said:
        try:
            return now + duration_s(said["delay"])
        except ValueError as error:
            raise UsageError(f"X-Fnctl-Delay: {error}") from error
    return moment(said["at"], "X-Fnctl-At") if "at" in said else None


def moment(text: str, what: str) -> float:
    """Seconds since the epoch of an RFC 3339 time, with its offset. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{what} cannot be {text[:80]!r}", hint="a time like 2027-01-31T09:00:00Z") from error
    if found.tzinfo is None:
        raise UsageError(f"{what}: {text} has no offset", hint=f"write {text}Z for UTC, or {text}+02:00")
    return found.timestamp()


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"the body of a call that is kept is larger than {most} bytes",
        hint="put large data into a service or an object store, and send where it is",
    )


def _refusal(error: FnctlError, id: str) -> Reply:
    assert error.http_status in REASONS
    return Reply(error.http_status, error_headers(error), error_body(error, id), id)


def as_json(said: Any) -> bytes:
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
