"""What tests of deferred calls ask of a gateway on its stage, and functions that are called later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fnctl.model import AsyncRule, Function
from tests.contract.gateway_stage import Handler, Seen, Stage, app, read_request


@dataclass
class Told:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(made: Stage, request: bytes, *, unix: bool = False) -> Told:
    """`unix`: over the project's own socket, as its user."""
    if unix:
        reader, writer = await asyncio.open_unix_connection(str(made.socket))
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return Told(int(head[0].split()[1]), headers, body)


def post(body: bytes = b"work", fields: Mapping[str, str] | None = None, *, target: str = "/app/jobs?x=1") -> bytes:
    fields = fields or {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return (
        f"POST {target} HTTP/1.1\r\nHost: a\r\nPrefer: respond-async\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def look(made: Stage, accepted: Told, method: str = "GET") -> Told:
    return await ask(made, f"{method} {accepted.headers['location']} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


def deferring(**rule: Any) -> Function:
    return replace(app(), deferred=AsyncRule(**rule))


def in_turn(*responses: bytes, seen: list[Seen] | None = None) -> Handler:
    """Answers with each response once, and with the last one from then on."""
    left = list(responses)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if seen is not None:
                seen.append(request)
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()

    return handle
