"""Named queues over HTTP: POST puts a message, GET shows the queue in numbers.

POST /_fnctl/queues/NAME    the body is the message; X-Fnctl-Delay, -At, -Group and -Dedup as for calls made later
GET  /_fnctl/queues/NAME
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fnctl.clock import Clock
from fnctl.errors import TooLarge, UsageError
from fnctl.model import Function
from fnctl.store.port import Counts, Queues
from fnctl.triggers.http.deferral import BODY_BYTES, JSON, Reply, as_json, field_lines
from fnctl.triggers.http.found import MethodNotAllowed
from fnctl.triggers.http.permission import check
from fnctl.triggers.http.schedule_headers import when_of
from fnctl.triggers.queue.letter import Letter, stored_as
from fnctl.triggers.queue.named import NamedQueues

PATH = "/_fnctl/queues/"


class QueueRequest:
    """(deferral.Asking) One request; nothing in it waits."""

    presence = None

    def __init__(
        self,
        named: NamedQueues,
        clock: Clock,
        queues: Queues,
        path: str,
        method: bytes,
        raw: bytes,
        caller: Function | None = None,
    ) -> None:
        """`caller`: the function that asks; None: somebody outside."""
        self._named = named
        self._clock = clock
        self._queues = queues
        self._name = path.removeprefix(PATH)
        self._method = method
        self._raw = raw
        self._caller = caller

    async def reply(self, body: bytes) -> Reply:
        check(self._caller, f"queue/{self._name}", "use")
        if self._method == b"POST":
            return await self._send(body)
        if self._method in (b"GET", b"HEAD"):
            self._named.rules.one(self._name)
            counts = (await self._queues.counts()).get(stored_as(self._name), Counts())
            return Reply(200, JSON, as_json(row(self._name, counts)), "")
        raise MethodNotAllowed(f"{self._method.decode()} is not allowed here", ("GET", "HEAD", "POST"))

    async def _send(self, body: bytes) -> Reply:
        if len(body) > BODY_BYTES:
            raise TooLarge(
                f"the message is larger than {BODY_BYTES} bytes", hint="store it elsewhere, and send its address"
            )
        when = when_of(self._raw, self._clock.now())
        rule = self._named.rules.one(self._name)
        if rule.fifo and when.group is None:
            raise UsageError(
                f"queue {rule.name} is a FIFO queue: each message needs a group", hint="send X-Fnctl-Group"
            )
        kind = next((value for name, value in field_lines(self._raw) if name.lower() == "content-type"), None)
        letter = Letter(body, kind, group=when.group, dedup=when.dedup)
        (id,) = await self._named.send(self._name, [(letter, when)])
        return Reply(202, JSON, as_json({"id": id, "queue": self._name}), id)


def row(name: str, counts: Counts) -> dict[str, Any]:
    """A queue in numbers: `accepted` is the sum of the five states, or `drift` is not 0."""
    said = asdict(counts)
    kept = said.pop("letters")
    return {"queue": name, **said, "dead_kept": kept, "drift": counts.drift}
