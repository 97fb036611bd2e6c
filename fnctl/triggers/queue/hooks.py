"""Webhooks: the outcomes of calls, posted to a URL until it takes them. Signed as Standard Webhooks has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

from fnctl.clock import Clock
from fnctl.errors import FnctlError
from fnctl.model import AsyncRule, Destination, Function, Secret
from fnctl.store.port import Known, Leased, Message, MessageState, Queues, Settlement, StoreUnavailable
from fnctl.tasks import Tasks
from fnctl.triggers.queue.outcome import backoff_s
from fnctl.triggers.queue.wakeups import AGAIN_S, Watch

PREFIX = "hook/"
KEY_PREFIX = "whsec_"
RULE = AsyncRule(retries=9, backoff_s=5.0, max_age_s=259_200.0, concurrency=4)
SEND_S = 15.0
SHOWN_BYTES = 1024
GONE = 410  # whoever answers so wants no more
LEASE_S = 120.0

ReadSecret = Callable[[Secret], str]
"""The value of a secret (blocking: files). Raises FnctlError."""


def queue_of(function: str) -> str:
    """The store's name for what goes to the webhooks of a function."""
    return PREFIX + function


def hook_message(function: Function, key: str, id: str, body: bytes, now: float) -> Message:
    """`key`: which destination of the function it is for."""
    head = json.dumps({"key": key}).encode()
    return Message(id, queue_of(function.name), head + b"\n" + body, now, now, expires=now + RULE.max_age_s)


def shown_hook(known: Known) -> dict[str, Any]:
    """What goes to a webhook as JSON, for whoever looks; `reason`: of the last attempt."""
    head, _, body = known.body.partition(b"\n")
    return {
        "id": known.id,
        "destination": json.loads(head)["key"],
        "state": str(known.state),
        "attempts": known.attempts,
        "accepted": known.accepted,
        "ended" if known.ended is not None else "due": known.due if known.ended is None else known.ended,
        "body": body[:SHOWN_BYTES].decode("utf-8", "replace"),
        "reason": json.loads(known.result)["reason"] if known.result else None,
    }


def signature(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """`v1,…` of one request. ValueError where the secret is no `whsec_…` of base64."""
    try:
        key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the secret is not base64 after `{KEY_PREFIX}`") from error
    mac = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


@dataclass(frozen=True, slots=True)
class Posted:
    """How one attempt ended: a status, or why there is none."""

    status: int
    why: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def post(url: str, headers: Mapping[str, str], body: bytes) -> Posted:
    """One POST; a redirect is an answer as any other (blocking, up to SEND_S for each step of it)."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=SEND_S, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=SEND_S)
    try:
        connection.request(
            "POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, dict(headers)
        )
        return Posted(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return Posted(0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()


class Hooks:
    """What is to be posted for one function, on its way. On the event loop's thread; the requests on others."""

    def __init__(
        self,
        name: str,
        function: Callable[[], Function | None],
        queues: Queues,
        clock: Clock,
        random: Random,
        read: ReadSecret,
    ) -> None:
        self._queue = queue_of(name)
        self._function = function
        self._queues = queues
        self._clock = clock
        self._random = random
        self._read = read
        self._tasks = Tasks()
        self._sending = 0
        self._watch = Watch(clock, self._tasks, self._begin_what_is_due, lambda: queues.next_due(self._queue))

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def kick(self) -> None:
        self._watch.kick()

    async def rest(self) -> None:
        while self:
            await self._tasks.wait()

    async def close(self, cut: bool) -> None:
        """`cut`: what is on its way is posted again by the next run."""
        self._watch.close()
        await (self._tasks.cancel() if cut else self.rest())

    async def _begin_what_is_due(self) -> bool:
        free = RULE.concurrency - self._sending
        if free <= 0:
            return False
        now = self._clock.now()
        leased = await self._queues.lease(self._queue, free, now, now + LEASE_S)
        for each in leased:
            self._sending += 1
            self._tasks.spawn(self._send(each))
        return len(leased) < free

    async def _send(self, leased: Leased) -> None:
        try:
            await self._settle(await self._sent(leased))
        finally:
            self._sending -= 1
        self.kick()

    async def _settle(self, word: Settlement) -> None:
        while True:
            try:
                await self._queues.settle([word])
                return
            except StoreUnavailable:
                if self._watch.closed:  # its lease is reclaimed by the next run
                    return
                await asyncio.sleep(AGAIN_S)

    async def _sent(self, leased: Leased) -> Settlement:
        """One attempt, and what becomes of it."""
        head, _, body = leased.body.partition(b"\n")
        function = self._function()
        key = json.loads(head)["key"]
        destination: Destination | None = getattr(function.deferred, key) if function is not None else None
        if destination is None or destination.url is None or destination.secret is None:
            return self._word(leased, MessageState.DEAD, "its destination is no longer in fnctl.yaml")
        try:
            secret = await asyncio.to_thread(self._read, destination.secret)
            # Real time: whoever checks the signature looks at a real clock.
            headers = signed(secret, leased.id, int(time.time()), body)
        except (FnctlError, ValueError) as error:
            return self._again(leased, f"secret {destination.secret.name}: {error}")
        posted = await asyncio.to_thread(post, destination.url, headers, body)
        said = posted.why or f"status {posted.status}"
        if posted.ok:
            return self._word(leased, MessageState.DONE, said)
        return self._word(leased, MessageState.DEAD, said) if posted.status == GONE else self._again(leased, said)

    def _again(self, leased: Leased, said: str) -> Settlement:
        if leased.attempt > RULE.retries:
            return self._word(leased, MessageState.DEAD, said)
        now = self._clock.now()
        due = now + backoff_s(leased.attempt, RULE.backoff_s, self._random)
        return Settlement(leased.id, leased.epoch, MessageState.WAITING, now, due=due, result=_reason(said))

    def _word(self, leased: Leased, state: MessageState, said: str) -> Settlement:
        return Settlement(leased.id, leased.epoch, state, self._clock.now(), result=_reason(said))


def signed(secret: str, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The fields of one request."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "fnctl",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, id, timestamp, body),
    }


def _reason(said: str) -> bytes:
    return json.dumps({"reason": said}, ensure_ascii=False).encode("utf-8", "replace")
