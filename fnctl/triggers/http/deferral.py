"""Requests whose answer takes the store: what became of a call that was accepted, events, named queues.

GET and DELETE of the address that a 202 named: the call's state and result; cancel it where it waits. How calls are
accepted: async_calls.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fnctl.errors import FnctlError, NotFound, TooLarge
from fnctl.model import Function
from fnctl.triggers.http.bodies import Bodies
from fnctl.triggers.http.body import ChunkedBody
from fnctl.triggers.http.call import CallRequest, When
from fnctl.triggers.http.found import Events, MethodNotAllowed, Queued, Stored
from fnctl.triggers.http.head import CHUNKED, RequestHead
from fnctl.triggers.http.refusal import REASONS, TooManyBodies, error_body, error_headers
from fnctl.triggers.http.render import CLOSE, KEEP_ALIVE, answer_head, own_fields
from fnctl.triggers.http.state import GatewayState

if TYPE_CHECKING:
    from fnctl.triggers.http.workflow_routes import Flows

BODY_BYTES = 1 << 20  # of a call that is kept
BATCH_BYTES = 2 << 20  # of what is sent to named queues in one request, as JSON writes it


Told = Callable[[str | None, BaseException | None], None]  # the id, or what went wrong


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

    def accept_then(self, function: Function, request: CallRequest, when: When, told: Told) -> None:
        """The same, told by a call back. Raises StoreUnavailable, or tells it."""
        ...

    async def publish(
        self, headers: Sequence[tuple[str, str]], body: bytes, caller: Function | None = None
    ) -> list[tuple[str, str]]:
        """(function, id of its call) for each that asks for the event. Raises UsageError, Forbidden, and what `accept`
        raises. `caller`: the function that publishes."""
        ...

    def token(self, id: str) -> str: ...

    def believes(self, id: str, token: str) -> bool: ...

    def asking(self, queued: Queued, head: RequestHead, raw: bytes) -> Asking:
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

    @property
    def bodies(self) -> Bodies:
        """Where the bytes of its bodies are counted."""
        ...

    def write(self, data: bytes) -> None: ...

    def finished(self, clean: bool) -> None: ...


class TakenWhole:
    """In an Exchange's place: takes the request whole, and then goes about its answer."""

    # What most never change stands in the class, which makes one cheap to create.
    tunnelling = False
    body_bytes: int | None = None  # None: what all functions take
    _most = BODY_BYTES
    _body: list[bytes] | None = None
    _size = 0
    _counted = 0  # bytes of the body, among those that the gateway holds
    _ended = False
    _done = False

    def __init__(self, gateway: GatewayState, client: Client, head: RequestHead) -> None:
        self._gateway = gateway
        self._client = client
        self._head = head

    def _go(self) -> None:
        """The request is here, whole: come to `_answer`, now or later."""
        raise NotImplementedError

    def start(self, body: bytes, ended: bool) -> None:
        self.body(body, ended)

    def body(self, data: bytes, ended: bool) -> None:
        self._size += len(data)
        if self._size > 2 * self._most:  # also of tiny chunks; the exact bound is looked at when it is whole
            self.refuse(_too_large(self._most))
            return
        if data:
            self._body = self._body or []
            self._body.append(data)
        if not ended or self._counted:  # one that came whole costs no more than its connection does
            self._counted += len(data)
            if not self._client.bodies.take(len(data)):
                self.refuse(TooManyBodies())
                return
        if ended:
            self._ended = True
            self._go()

    def refuse(self, error: FnctlError) -> None:
        self._client.closing = self._client.closing or not self._ended
        self._refuse(error)

    def abandon(self) -> None:
        self._done = True
        self._let_go()
        self.drain()
        self._client.finished(True)

    def drain(self) -> None:
        pass

    def client_slow(self) -> None:
        pass

    def client_ready(self) -> None:
        pass

    def _whole(self) -> bytes:
        body = b"".join(self._body or ())
        if self._head.fields.length == CHUNKED:
            body, _ = ChunkedBody().feed(body)
        if len(body) > self._most:
            raise _too_large(self._most)
        return body

    def _let_go(self) -> None:
        """Its body is not held any more."""
        self._body = None
        self._client.bodies.give(self._counted)
        self._counted = 0

    def _refuse(self, error: FnctlError) -> None:
        assert error.http_status in REASONS
        id = self._gateway.next_id(time.time())
        self._answer(Reply(error.http_status, error_headers(error), error_body(error, id), id))

    def _answer(self, reply: Reply) -> None:
        if self._done:
            return
        self._done = True
        self._let_go()
        client, head = self._client, self._head
        connection = CLOSE if client.closing else b"" if head.http_1_1 else KEEP_ALIVE
        own = own_fields(reply.id.encode(), b"", connection)
        lines = answer_head(reply.status, reply.headers, len(reply.body), own, self._gateway.date(time.time()))
        client.write(lines if head.method == b"HEAD" else lines + reply.body)
        client.finished(True)


class Deferral(TakenWhole):
    """Answers when `produce` has come to a reply.

    A client that leaves changes nothing: what it asked for is done all the same.
    """

    def __init__(
        self,
        gateway: GatewayState,
        client: Client,
        head: RequestHead,
        produce: Callable[[bytes], Awaitable[Reply]],
        presence: Presence | None = None,
        most: int = BODY_BYTES,
        lasting: bool = False,
    ) -> None:
        """`presence`: of the client, for who lets it wait. `most`: bytes of the body, which is kept whole. `lasting`:
        the answer may take for ever, and whoever makes it bounds what it keeps of the body."""
        super().__init__(gateway, client, head)
        self._lasting = lasting
        if most > BODY_BYTES:
            self.body_bytes = self._most = most
        self._presence = presence
        self._produce = produce

    def drain(self) -> None:
        if self._presence is not None:
            self._presence.leave()

    def _go(self) -> None:
        self._gateway.tasks.spawn(self._run())

    async def _run(self) -> None:
        try:
            body = self._whole()
            if self._lasting:
                self._let_go()
            reply = await self._produce(body)
        except FnctlError as error:
            self._refuse(error)
        except Exception:  # the request's root: whoever asks is told, and the fault is
            self._refuse(FnctlError("the request could not be answered, by a fault of fnctl's own", code="internal"))
            raise
        else:
            self._answer(reply)


STORED = "/_fnctl/invocations/"
JSON = b"Content-Type: application/json\r\nCache-Control: no-store\r\n"


def looking_up(acceptor: Acceptor | None, stored: Stored, head: RequestHead) -> Callable[[bytes], Awaitable[Reply]]:
    """Makes the reply about one deferred call."""

    async def produce(body: bytes) -> Reply:
        id = stored.id
        if acceptor is None or not (stored.trusted or acceptor.believes(id, stored.token)):
            raise NotFound("no asynchronous call at this address", hint="use the `Location` that its 202 named")
        if head.method == b"DELETE":
            said = await acceptor.cancel(id)
        elif head.method in (b"GET", b"HEAD"):
            said = await acceptor.result(id)
        else:
            raise MethodNotAllowed(f"{head.method.decode()} is not allowed here", ("DELETE", "GET", "HEAD"))
        pending = b"Retry-After: 1\r\n" if "ended" not in said else b""
        return Reply(200, JSON + pending, as_json(said), id)

    return produce


def publishing(
    acceptor: Acceptor | None, routed: Events, head: RequestHead, raw: bytes
) -> Callable[[bytes], Awaitable[Reply]]:
    """Makes the reply to an event for the bus."""

    async def produce(body: bytes) -> Reply:
        if acceptor is None:
            raise NotFound("no event bus is served here", hint="`fnctl run` serves one")
        if head.method != b"POST":
            raise MethodNotAllowed(f"{head.method.decode()} is not allowed here", ("POST",))
        calls = await acceptor.publish(field_lines(raw), body, routed.caller)
        id = calls[0][1] if calls else ""
        said = {"calls": [{"function": function, "id": call} for function, call in calls]}
        return Reply(202, JSON, as_json(said), id)

    return produce


class _NoQueues:
    presence = None

    async def reply(self, body: bytes) -> Reply:
        raise NotFound("no queues are served here", hint="`fnctl run` serves them")


def at_queues(acceptor: Acceptor | None, queued: Queued, head: RequestHead, raw: bytes) -> Asking:
    return _NoQueues() if acceptor is None else acceptor.asking(queued, head, raw)


def field_lines(raw: bytes) -> list[tuple[str, str]]:
    """The header fields of a head."""
    lines = (line.partition(b":") for line in raw.split(b"\r\n")[1:] if line)
    return [(name.decode("latin-1"), value.strip(b" \t").decode("utf-8", "replace")) for name, _, value in lines]


def fields_of(raw: bytes) -> dict[str, str]:
    """The same by name in lower case; of one that comes twice, the last."""
    return {name.lower(): value for name, value in field_lines(raw)}


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"the body of an asynchronous call is larger than {most} bytes",
        hint="store large data in a service or an object store, and send its address",
    )


def as_json(said: Any) -> bytes:
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
