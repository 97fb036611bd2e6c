"""Requests made to be read in two ways, and answers made to poison the next one. A real gateway, strict agents.

What is hidden in a request or an answer has a name of its own: nobody may ever see it as a request or an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop

from fnctl.triggers.http.body import ChunkedBody
from fnctl.triggers.http.limits import Limits
from tests.contract.gateway_stage import Stage, app, read_request, stage
from tests.soak.figures import Figures, say
from tests.soak.kinds import Answers, Requests
from tests.soak.pulse import Pulse

CLIENTS = 32
ANSWER_S = 10.0
SHORT = Limits(head_s=0.2, body_idle_s=0.2, linger_s=0.2, hold_s=0.05, keep_alive_s=0.1)
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def requests(count: int, seed: int) -> Figures:
    """`count` hostile requests, each on a connection of its own."""
    figures = Figures("hostile requests", {"requests": count})

    async def soak(made: Stage) -> None:
        chance = random.Random(seed)
        kinds, seen, statuses = Requests(chance), dict[bytes, bytes](), Counter[str]()

        async def strict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                request = await read_request(reader)
                target = request.line.split(b" ")[1]
                seen[target] = request.body
                if b"smuggled" in target or request.all(b"x-hidden"):
                    figures.failed["smuggled"] += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()

        await made.add(app("one"), strict, connections=2 * CLIENTS)
        longest = 0.0

        async def client(numbers: object) -> None:
            nonlocal longest
            for number in numbers:  # type: ignore[attr-defined]
                kind = chance.choice(("sound", "unsound", "mangled"))
                expected = None
                if kind == "sound":
                    data, expected = kinds.sound(number)
                else:
                    data = kinds.unsound(number) if kind == "unsound" else kinds.mangled(number)
                began = time.monotonic()
                got = await talk(made.port, data, one=kind == "sound")
                lasted = time.monotonic() - began
                longest = max(longest, lasted)
                if lasted > ANSWER_S:
                    figures.failed["no end"] += 1
                told = [status.decode() for status in STATUS.findall(got)]
                statuses.update(told)
                body = seen.pop(b"/ok/%d" % number, None)
                if kind == "sound" and (told != ["200"] or body != expected):
                    figures.failed[f"a sound request: {told}"] += 1
                if kind == "unsound" and (told != ["400"] or body is not None):
                    figures.failed[
                        f"an unsound request: {told}, {'seen' if body is not None else 'not seen'}: {data!r}"[:300]
                    ] += 1
                if any(status[0] == "5" for status in told):
                    figures.failed[f"{kind}: {told}"] += 1
                seen.clear() if len(seen) > 10_000 else None

        numbers = told_of(count, "requests")
        await asyncio.gather(*(client(numbers) for _ in range(CLIENTS)))
        figures.counted |= {"answers": dict(statuses), "longest_s": round(longest, 2)}
        for error in made.errors:
            figures.failed[f"the agent met {error!r}"[:200]] += 1
        made.errors.clear()

    _played(soak, figures)
    return figures


def answers(count: int, seed: int) -> Figures:
    """`count` hostile answers, each followed by a sound request to the same function, whose answer must be its own."""
    figures = Figures("hostile answers", {"answers": count})

    async def soak(made: Stage) -> None:
        kinds, statuses = Answers(random.Random(seed)), Counter[str]()

        async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                target = (await read_request(reader)).line.split(b" ")[1]
                if target.startswith(b"/sound"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))
                else:
                    writer.write(kinds.any())
                await writer.drain()

        await made.add(app("one", timeout_s=0.3), agent, connections=2 * CLIENTS)
        longest, late = 0.0, 0

        async def client(numbers: object) -> None:
            nonlocal longest, late
            for number in numbers:  # type: ignore[attr-defined]
                began = time.monotonic()
                got = await talk(
                    made.port, b"GET /hostile/%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % number
                )
                longest = max(longest, time.monotonic() - began)
                if rest := beyond(got):
                    figures.failed[f"after the answer came {rest[:80]!r}"] += 1
                statuses.update(status.decode() for status in STATUS.findall(got)[:1])
                target = b"/sound/%d" % number
                sound = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % target
                got = await talk(made.port, sound)
                if b" 504 " in got[:16]:  # the machine stood still past the deadline: nobody else's answer all the same
                    late += 1
                    got = await talk(made.port, sound)
                if not got.endswith(b"\r\n\r\n" + target):
                    figures.failed[f"the next answer was {got[:80]!r}"] += 1

        numbers = told_of(count, "answers")
        await asyncio.gather(*(client(numbers) for _ in range(CLIENTS)))
        figures.counted |= {"told": dict(statuses), "late": late, "longest_s": round(longest, 2)}
        made.errors.clear()  # an agent that is hung up while it writes

    _played(soak, figures)
    return figures


def told_of(count: int, what: str) -> object:
    """Numbers to be shared out, with a word now and then."""
    for number in range(count):
        if number and number % 20_000 == 0:
            say(f"  {number} {what}")
        yield number


def beyond(got: bytes) -> bytes:
    """What came after the one answer that there may be."""
    status = 100
    while status < 200 and b"\r\n\r\n" in got:
        head, _, got = got.partition(b"\r\n\r\n")
        status = int(STATUS.match(head)[1])  # type: ignore[index]
    if status in (204, 304):
        return got
    if length := re.search(rb"\r\nContent-Length: (\d+)(?:\r\n|\Z)", head):
        return got[int(length[1]) :]
    if b"Transfer-Encoding: chunked" in head:
        return ChunkedBody().feed(got)[1] or b""
    return b""


async def talk(port: int, data: bytes, *, one: bool = False) -> bytes:
    """Send, and read until the gateway hangs up; or `one` answer of two bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    with contextlib.suppress(ConnectionError, TimeoutError):  # what takes so long is a hang by any count
        writer.write(data)
        async with asyncio.timeout(ANSWER_S):
            while not (one and got.endswith(b"\r\n\r\nok")) and (piece := await reader.read(65536)):
                got += piece
    writer.close()
    return got


def _played(soak: object, figures: Figures) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="gw") as folder:
            async with stage(Path(folder), SHORT) as made:
                pulse = Pulse()
                await soak(made)  # type: ignore[operator]
                figures.turned(pulse)

    uvloop.run(run())
