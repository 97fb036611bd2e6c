"""A message of a named queue: what it holds beside its body, and how the store keeps it. Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fnctl.store.port import Known

_LENGTH = struct.Struct(">I")
PREFIX = "q/"
SHOWN_BYTES = 1024
_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's, of ids


def stored_as(queue: str) -> str:
    """The store's name for a named queue."""
    return PREFIX + queue


def named(stored: str) -> str | None:
    """The named queue that the store knows so; None where it is none."""
    return stored.removeprefix(PREFIX) if stored.startswith(PREFIX) else None


@dataclass(frozen=True, slots=True)
class Letter:
    """`attributes` as SQS has them: by name {"DataType", "StringValue" | "BinaryValue" (base64)}. `origin`: the queue
    in which it died, its id there and why, where this is a queue of dead letters."""

    body: bytes
    content_type: str | None = None
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    group: str | None = None
    dedup: str | None = None
    trace: str | None = None  # of AWS X-Ray, passed on
    origin: tuple[str, str, str] | None = None

    def packed(self) -> bytes:
        said: dict[str, Any] = {"group": self.group, "dedup": self.dedup, "type": self.content_type}
        said |= {"attributes": dict(self.attributes), "trace": self.trace, "origin": self.origin}
        head = json.dumps({key: value for key, value in said.items() if value}).encode()
        return _LENGTH.pack(len(head)) + head + self.body


def unpacked(data: bytes) -> Letter:
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    said = json.loads(data[_LENGTH.size : start])
    origin = said.get("origin")
    return Letter(
        body=data[start:],
        content_type=said.get("type"),
        attributes=said.get("attributes", {}),
        group=said.get("group"),
        dedup=said.get("dedup"),
        trace=said.get("trace"),
        origin=(origin[0], origin[1], origin[2]) if origin else None,
    )


def shown_message(known: Known) -> dict[str, Any]:
    """A message as JSON, for whoever looks at a queue: up to 1 KiB of its body."""
    letter = unpacked(known.body)
    said: dict[str, Any] = {
        "id": known.id,
        "queue": named(known.queue),
        "state": str(known.state),
        "attempts": known.attempts,
        "accepted": known.accepted,
        "ended" if known.ended is not None else "due": known.due if known.ended is None else known.ended,
        "body": letter.body[:SHOWN_BYTES].decode("utf-8", "replace"),
        "size": len(letter.body),
    }
    if letter.group is not None:
        said["group"] = letter.group
    if letter.origin is not None:
        said["origin"] = dict(zip(("queue", "id", "reason"), letter.origin, strict=True))
    if known.result:
        said["reason"] = json.loads(known.result).get("reason")
    return said


def sequence(id: str) -> str:
    """A number that rises with the ids, as FIFO queues of SQS give one to each message."""
    number = 0
    for letter in id:
        number = number * 32 + _BASE32.index(letter)
    return str(number)
