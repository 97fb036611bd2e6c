"""The client's side of a connection: reads requests, one after the other, and hands each to an Exchange.

A connection is in one of four phases: head (idle, or a part of one) → hold (the first part of a body) → serving →
head …; at the end lingering. How long each may last, and what ends it: lifetime.py.
Long for one file: heads and bodies share the buffer, and a read passes through as few calls as can be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import cast

from fnctl.dispatch.invocation import NEVER
from fnctl.errors import FnctlError
from fnctl.model import Auth
from fnctl.triggers.http import durable, log_tail, own_addresses, proxied
from fnctl.triggers.http.async_calls import Accepting, Asked, asked_again, asks_later
from fnctl.triggers.http.auth import Gate, Verify
from fnctl.triggers.http.deferral import Acceptor, Deferral, TakenWhole
from fnctl.triggers.http.exchange import Exchange, may_tunnel
from fnctl.triggers.http.exposure import Exposure
from fnctl.triggers.http.fc_api import FcExchange, FcInvoke
from fnctl.triggers.http.found import Aws, Begin, Found, Health, Index, Match, Redirect
from fnctl.triggers.http.head import HeadTooLarge, RequestHead, RequestParser, empty_lines, hopeless, malformed
from fnctl.triggers.http.incoming import Incoming
from fnctl.triggers.http.lambda_api import InvokeExchange, LambdaInvoke, dry_reply, is_dry
from fnctl.triggers.http.lifetime import HEAD, HOLD, LINGERING, SERVING, Lifetime, Phase
from fnctl.triggers.http.local_address import Caller
from fnctl.triggers.http.log_tail import HeldAnswer
from fnctl.triggers.http.own_answers import own_answer, page
from fnctl.triggers.http.proxied import Proxied
from fnctl.triggers.http.refusal import TooManyBodies, TooManyClients, error_body, error_headers
from fnctl.triggers.http.render import CONTINUE, Stem, request_stem
from fnctl.triggers.http.slowlane import ClientTap
from fnctl.triggers.http.state import GatewayState
from fnctl.triggers.http.traffic_split import Split

A_REQUEST = 2048  # bytes of a head that count as a request
A_TURN = 64 * 1024  # bytes of one read, past which another is left for the loop's next turn
Matcher = Callable[..., Found | Split]  # of host, method and target; of an alias too, where one is asked for
Served = Exchange | TakenWhole  # what a request becomes


class ClientConnection(asyncio.Protocol):
    """Guarantees: requests are answered in the order they came, and nothing of a malformed one is forwarded.

    After a refusal that leaves the position in the stream unknown, the connection ends.
    """

    __slots__ = (
        "_acceptor",
        "_asked",
        "_buffer",
        "_caller",
        "_exposure",
        "_forwarded",
        "_gate",
        "_gateway",
        "_incoming",
        "_life",
        "_match",
        "_parser",
        "_peer",
        "_pumping",
        "_scanned",
        "_stem",
        "_stem_head",
        "_stem_match",
        "_tap",
        "_transport",
        "bodies",
        "closing",
        "exchange",
        "phase",
        "unread",
    )

    def __init__(
        self,
        gateway: GatewayState,
        match: Matcher,
        gate: Gate | None = None,
        exposure: Exposure | None = None,
        acceptor: Acceptor | None = None,
        caller: Caller | None = None,
    ) -> None:
        """`gate` None: nobody has to show a credential here. `acceptor` None: no call is deferred, whoever asks.
        `caller`: it comes from inside a sandbox."""
        self._gate = gate
        self._caller = caller
        self.bodies = gateway.bodies if caller is None else caller.bodies
        self._acceptor = acceptor
        self._exposure = exposure or Exposure()
        self._peer = b""
        self._gateway = gateway
        self._match = match
        self._transport: asyncio.Transport | None = None
        self._life: Lifetime  # from `connection_made` on
        self._tap: ClientTap | None = None
        self._parser = RequestParser()
        self.phase: Phase = HEAD
        self._buffer = b""  # read, and not yet looked at or not a whole head
        self._scanned = 0  # of the buffer, known to hold no end of a head
        self._pumping = False
        self.exchange: Served | None = None
        self._incoming: Incoming | None = None  # the present request's body
        self.unread = False  # of which there is more to come
        self.closing = False
        self._forwarded = b""
        self._stem: Stem  # of the last request, which the next often equals: and what it was made from
        self._asked: Asked | None = None  # the same of the last one that was to be answered later
        self._stem_head: RequestHead | None = None
        self._stem_match: Match | None = None

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        gateway = self._gateway
        self._life = Lifetime(self, gateway, self._transport)
        # While draining, what runs may still call functions: it could not end otherwise.
        welcome = not gateway.draining if self._caller is None else self._caller.enter()
        if not welcome:
            self._transport.abort()
            return
        peer = transport.get_extra_info("peername")
        tcp = isinstance(peer, tuple) and bool(peer) and self._caller is None
        address = peer[0] if tcp else "127.0.0.1"
        trusted = self._exposure.believes(address)
        if tcp and not gateway.clients.enter(self._life, address, trusted=trusted):
            self._turn_away()
            return
        self._tap = ClientTap(self._transport, self._go_on, gateway.slow)
        self._peer = address.encode()
        if trusted:
            self._parser = RequestParser(behind_proxy=True)
        self._forwarded = proxied.lines(Proxied(), self._peer)
        gateway.enter(self._life)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_whole()
        self._transport = self._tap = None
        self.closing = True  # what was sent ahead is nobody's
        self._gateway.leave(self._life)
        if self._caller is not None:
            self._caller.leave()
        if self.exchange is not None:
            self.exchange.abandon()
        self._life.over()

    def eof_received(self) -> None:
        """A client that half-closes cannot be told from one that left: both are gone. The transport closes itself."""
        self.closing = True
        if self.exchange is not None:
            self.exchange.abandon()

    def data_received(self, data: bytes) -> None:
        if self.phase is HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            self._pump()
        elif self.unread:
            assert self.exchange is not None and self._incoming is not None
            self._read_body(self.exchange, self._incoming, data)
        elif self.phase is SERVING:
            self._read_ahead(data)
        if len(data) > A_TURN and self.phase is not SERVING and self._tap is not None:
            self._tap.rest()  # there may be another as large at once

    def _go_on(self) -> None:
        """On a turn of its own: with what was too much for one."""
        if self.phase is HEAD:
            self._pump()
        elif self.unread and self._incoming is not None and self._incoming.behind:
            assert self.exchange is not None
            self._read_body(self.exchange, self._incoming, b"")

    def pause_writing(self) -> None:
        self._life.stall()
        if self.exchange is not None:
            self.exchange.client_slow()

    def resume_writing(self) -> None:
        self._life.recover()
        if self.exchange is not None:
            self.exchange.client_ready()
        elif self.phase is HEAD and self._buffer:
            self._pump()

    # -- heads -----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begin requests for as long as there are whole heads and nothing is being served. Never enters itself."""
        if self._pumping:
            return
        self._pumping = True
        left = self._gateway.limits.requests_a_turn
        try:
            while self.phase is HEAD and self._buffer and not self._life.stalled:
                if left <= 0:
                    if self._tap is not None:
                        self._tap.rest()
                    return
                data = self._buffer
                if data[0] == 0x0D and (empty := empty_lines(data)):
                    self._buffer, self._scanned = data[empty:], 0
                    left -= 1 + empty // A_REQUEST
                    continue
                end = data.find(b"\r\n\r\n", self._scanned) + 4
                if end < 4:
                    self._incomplete(data)
                    return
                if self._scanned:
                    self._scanned = 0
                    self._is_whole()
                left -= self._begin(data, end) + end // A_REQUEST
        finally:
            self._pumping = False

    def _incomplete(self, data: bytes) -> None:
        if len(data) > self._gateway.limits.head_bytes:
            self.refuse(_head_too_large(self._gateway.limits.head_bytes))
        elif hopeless(data, self._scanned):
            self.refuse(malformed("a line break or control character in the wrong place"))
        else:
            if self._scanned == 0:
                self._life.expect(self._gateway.limits.head_s)
            self._scanned, before = max(1, len(data) - 3), self._scanned
            if self._tap is not None:
                self._tap.partial(self._scanned - before)

    def _is_whole(self) -> None:
        """The request, or what there is of it, is on its way."""
        if self._tap is not None:
            self._tap.whole()
        if self._incoming is not None:
            self.bodies.give(self._incoming.counted)
            self._incoming.counted = 0

    def _begin(self, data: bytes, end: int) -> int:
        """`data[:end]` is a head. How many requests' worth of work it was."""
        gateway = self._gateway
        gateway.requests += 1
        at = time.time()
        started = time.monotonic()
        head, verify, later, given = None, None, None, b""
        try:
            if end > gateway.limits.head_bytes:
                raise _head_too_large(gateway.limits.head_bytes)
            head = self._parser.parse(data, end)
            self._buffer = data[end:]
            fields = head.fields
            if fields.alias and self._caller is None:
                routed = self._match(fields.host, head.method, head.target, fields.alias)
            else:
                routed = self._match(fields.host, head.method, head.target)
            if isinstance(routed, Split):
                routed, given = routed.assign(head)
            if not isinstance(routed, Match):
                own_addresses.check(routed, data[:end])
            elif self._gate is not None and (routed.function.auth is not Auth.NONE or self._exposure.strangers):
                head, verify = self._gate.admit(routed.function, head)
            if head.fields.deferral and self._acceptor and isinstance(routed, Match) and asks_later(routed, head):
                later = asked_again(self._asked, routed, head) or Asked(
                    routed, head, data[:end], self._said_of_client(head)
                )
                self._asked = later
        except FnctlError as error:
            self.refuse(error, head)
            return 1
        if gateway.parting or not head.fields.keep_alive:
            self.closing = True
        if later is not None and self._acceptor is not None:
            self._serve(Accepting(gateway, self, self._acceptor, later), head, verify)
        elif isinstance(routed, Match):
            if self._caller is not None:
                self._serve(_called(gateway, self, self._caller, routed, head, data[:end], at, started), head, verify)
                return 1
            if head is not self._stem_head or routed is not self._stem_match:
                self._stem_head, self._stem_match = head, routed
                forwarded = self._said_of_client(head)
                self._stem = request_stem(head, routed, forwarded, tunnels=may_tunnel(head, routed))
            exchange = Exchange(gateway, self, head, routed, self._stem, at, started)
            if given:
                exchange.given = given
            self._serve(exchange, head, verify)
        elif isinstance(routed, Aws):
            self._serve(durable.answering(gateway.durable, gateway, self, routed, head, data[:end]), head, None)
        elif isinstance(routed, Begin):
            self._begin_durable(routed, head, data[:end])
        elif isinstance(routed, Redirect | Index | Health):
            self._answer(*page(gateway, routed, head), head)
            return gateway.limits.requests_a_turn if isinstance(routed, Index) else 1
        else:
            self._serve(own_addresses.serving(gateway, self, self._acceptor, routed, head, data[:end]), head, verify)
        return 1

    def _begin_durable(self, routed: Begin, head: RequestHead, raw: bytes) -> None:
        verify = None
        if self._gate is not None and (routed.function.auth is not Auth.NONE or self._exposure.strangers):
            try:
                head, verify = self._gate.admit(routed.function, head)
            except FnctlError as error:
                self.refuse(error, head)
                return
        self._serve(durable.beginning(self._gateway.durable, self._gateway, self, routed, head, raw), head, verify)

    def _said_of_client(self, head: RequestHead) -> bytes:
        """The fields that tell the function who called."""
        said = head.fields.proxied
        return self._forwarded if said is None else proxied.lines(said, self._peer)

    # -- bodies ----------------------------------------------------------------------------------------------------

    def _serve(self, exchange: Served, head: RequestHead, verify: Verify | None) -> None:
        self.exchange = exchange
        self.phase = SERVING
        self._life.deadline = NEVER
        length = head.fields.length
        if length == 0:
            exchange.start(b"", True)
            return
        limits = self._gateway.limits
        self.unread = True
        try:
            self._incoming = incoming = Incoming(length, limits, verify, exchange.body_bytes)
        except FnctlError as error:
            self.refuse_body(error)
            return
        self.phase = HOLD
        self._life.expect(limits.hold_s if incoming.chunked else limits.body_idle_s)
        data, self._buffer = self._buffer, b""
        if data:
            self._read_body(exchange, incoming, data)
        elif head.fields.expects_continue:
            self.write(CONTINUE)

    def _read_body(self, exchange: Served, incoming: Incoming, data: bytes) -> None:
        try:
            wire, rest = incoming.feed(data)
        except FnctlError as error:
            self.refuse_body(error)
            return
        if incoming.ended:
            self.unread = False
            self._buffer = rest
        if self.phase is not HOLD:
            self._life.renew()
            if wire:
                exchange.body(wire, incoming.ended)
        elif incoming.hold(wire):
            self._admit(exchange, incoming)
        else:
            if not incoming.chunked:
                self._life.expect(self._gateway.limits.body_idle_s)
            if self._tap is not None:
                self._tap.partial(len(data))
            incoming.counted += len(wire)
            if not self.bodies.take(len(wire)):
                self.refuse_body(TooManyBodies())
                return
        if incoming.behind and self.unread and self._tap is not None:
            self._tap.rest()

    def _admit(self, exchange: Served, incoming: Incoming) -> None:
        self._is_whole()
        try:
            held = incoming.held()
        except FnctlError as error:
            self.refuse_body(error)
            return
        self.phase = SERVING
        self._life.renew()
        exchange.start(held, incoming.ended)

    def admit_part(self) -> bool:
        """(Lasting) Start with what there is of a body that comes in chunks; False: nothing of this kind is held."""
        incoming, exchange = self._incoming, self.exchange
        if self.phase is not HOLD or incoming is None or exchange is None or not incoming.chunked:
            return False
        self._admit(exchange, incoming)
        return True

    def refuse_body(self, error: FnctlError) -> None:
        """(Lasting)"""
        assert self.exchange is not None
        self.closing = True
        self._is_whole()
        self.exchange.refuse(error)

    def _read_ahead(self, data: bytes) -> None:
        """While a request is served: a tunnel's bytes, or the requests after it."""
        exchange = self.exchange
        if exchange is not None and exchange.tunnelling:
            exchange.body(data, False)
            return
        self._buffer += data
        if len(self._buffer) > self._gateway.limits.pipeline_bytes:
            self.pause_reading()

    # -- for the exchange (exchange.Client) ------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def pause_reading(self) -> None:
        if self._tap is not None and not self._tap.shut:
            self._tap.close()
            if not self._life.stalled:
                self._life.deadline = NEVER  # it is not the client that waits

    def resume_reading(self) -> None:
        if self._tap is not None and self._tap.shut:
            self._tap.open()
            self._life.renew()

    def finished(self, clean: bool) -> None:
        self.exchange = None
        if self._incoming is not None:
            self._is_whole()
            self._incoming = None
        if not clean:
            self._life.abort()
        elif self.closing or self._gateway.draining:
            self.shut()
        else:
            self.phase = HEAD
            life = self._life
            life.since = self._gateway.now
            if not life.stalled:
                life.deadline = life.since + self._gateway.limits.keep_alive_s
            if self._tap is not None and self._tap.shut:
                self.resume_reading()
            if self._buffer:
                self._pump()

    # -- for its lifetime (lifetime.Lasting) ---------------------------------------------------------------------------

    @property
    def fresh(self) -> bool:
        """No request has come on it yet."""
        return self._stem_head is None

    @property
    def partial(self) -> bool:
        """A part of a head is here."""
        return bool(self._buffer)

    def refuse(self, error: FnctlError, head: RequestHead | None = None) -> None:
        """`head`: of a request that was well-formed. Without one, where the next would begin is unknown."""
        malformed_too = error.http_status == 400  # a path, say: its sender is not to be trusted with another
        self.closing = self.closing or malformed_too or head is None or not head.fields.keep_alive
        id = self._gateway.next_id(time.time())
        self._answer(error.http_status, error_headers(error), error_body(error, id), head, id)

    def shut(self, unread: bool = False) -> None:
        """End once all is written. `unread`: more may come of the client, and is dropped."""
        self._is_whole()
        unread = unread or self.unread
        self.phase = LINGERING
        self._buffer = b""
        self.unread = False
        if self._transport is not None and self._tap is not None:
            self._life.linger(self._tap, unread=unread)

    # -- answers of the gateway itself -----------------------------------------------------------------------------

    def _turn_away(self) -> None:
        """Nothing is read of it: that would hold what there is too little of."""
        assert self._transport is not None
        error, id = TooManyClients(), self._gateway.next_id(time.time())
        self.closing = True
        self.phase = LINGERING
        self.write(own_answer(self._gateway, 503, error_headers(error), error_body(error, id), closing=True, id=id))
        self._transport.close()

    def _answer(self, status: int, headers: bytes, body: bytes, head: RequestHead | None, id: str = "") -> None:
        unread = head is None or head.fields.length != 0
        self.closing = self.closing or unread or self._gateway.parting
        bodyless = head is not None and head.method == b"HEAD"
        self.write(own_answer(self._gateway, status, headers, body, closing=self.closing, bodyless=bodyless, id=id))
        if self.closing:
            self.shut(unread=unread)
        else:
            self._life.since = self._gateway.now
            self._life.renew()


def _head_too_large(most: int) -> HeadTooLarge:
    return HeadTooLarge(f"the request's header fields are larger than {most} bytes")


# How what calls a function by a platform's API is answered.
_INVOKES: Mapping[type, type[InvokeExchange]] = {LambdaInvoke: InvokeExchange, FcInvoke: FcExchange}


def _called(
    gateway: GatewayState,
    client: ClientConnection,
    caller: Caller,
    match: Match,
    head: RequestHead,
    raw: bytes,
    at: float,
    started: float,
) -> Served:
    """What becomes of a call that a function makes."""
    invoke = _INVOKES.get(type(match))
    if invoke is InvokeExchange and is_dry(raw):
        return Deferral(gateway, client, head, dry_reply)
    parent, depth = caller.parent(raw)
    stem = request_stem(head, match, caller.told(parent, head.fields.forward), tunnels=may_tunnel(head, match))
    if invoke is None:
        return Exchange(gateway, client, head, match, stem, at, started, parent, depth)
    held = HeldAnswer(client, invoke.log_field, match.function.memory_mb) if log_tail.wanted(raw) else client
    return invoke(gateway, held, head, match, stem, at, started, parent, depth)
