"""What an agent or a supervisor might say to the host: frames in any order and shape, whole, cut, nested. The sandbox
that says it may be ended; nothing else may happen."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from fnctl.errors import ProtocolError
from fnctl.sandbox.conversation import Conversation
from fnctl.sandbox.intake import Intake
from fnctl.sandbox.lifecycle import Lifecycle, State
from fnctl.sandbox.local import LocalPlace
from fnctl.sandbox.slot import Slot
from fnctl.sandbox.staging import ReadyTrees
from tests.soak.figures import Figures, say
from tests.soak.pulse import Pulse
from tests.support.turning import until

FRAMES = 24  # of one sandbox, at most: a breach ends it before
OPS = ("hello", "started", "exited", "error", "loaded", "load_failed", "done", "ahead", "waiting", "dial", "", None, 7)
FIELDS = (
    "protocol",
    "role",
    "runtime",
    "pid",
    "code",
    "signal",
    "cpu_ms",
    "peak_kb",
    "kind",
    "fork",
    "ms",
    "message",
    "boot",
    "for",
    "last",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    -1,
    1e308,
    float("nan"),
    10**400,
    "",
    "x" * 5000,
    "\udfff",
    [],
    [[]],
    {},
    {"a": []},
    "node24",
    "agent",
)


class Owner:
    """An instance, as far as its conversation can tell."""

    def __init__(self) -> None:
        self.ended = False
        self.heard = Counter[str]()

    def end(self, why: Any) -> None:
        self.ended = True

    def invocation_done(self, message: Mapping[str, Any]) -> None:
        if not isinstance(message.get("cpu_ms", 0), int | float):
            raise ProtocolError("`cpu_ms` that is no amount")
        self.heard["done"] += 1

    def verdict(self) -> Any:
        return ProtocolError("over")

    def __getattr__(self, name: str) -> Any:
        def told(*_: Any) -> None:
            self.heard[name] += 1

        return told


def frame(chance: random.Random) -> bytes:
    kind = chance.randrange(10)
    if kind < 6:
        said = {chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.randrange(5))}
        line = json.dumps({**said, "op": chance.choice(OPS)}).encode("utf-8", "surrogatepass")
    elif kind == 6:
        line = bytes(chance.randrange(256) for _ in range(chance.randrange(60)))
    elif kind == 7:
        line = chance.choice(
            (b"[" * 20_000, b'{"op":' * 9000, b"9" * 5000, b"", b"null", b"[]", b'{"op":"hello"', b"\xff\xfe")
        )
    else:
        line = chance.choice(
            (b'{"op":"waiting","for":"x"}\n' * 30, b'{"op":"hello","protocol":1,"role":"agent","runtime":"node24"}')
        )
        if chance.random() < 0.3:
            at = chance.randrange(len(line))
            line = line[:at] + bytes([chance.randrange(256)]) + line[at + 1 :]
    return line + (b"\n" if chance.random() < 0.95 else b"")


def soak(count: int, seed: int) -> Figures:
    figures = Figures("agent frames", {"frames": 0, "sandboxes": 0, "ended": 0})

    async def run(folder: Path) -> None:
        loop, chance = asyncio.get_running_loop(), random.Random(seed)
        loop.set_exception_handler(lambda _, context: figures.failed.update([repr(context.get("exception"))[:200]]))
        pulse = Pulse()
        while figures.counted["frames"] < count:
            await one(folder / str(figures.counted["sandboxes"]), chance, figures)
            if figures.counted["sandboxes"] % 2000 == 0:
                say(f"  {figures.counted['frames']} frames")
        figures.turned(pulse)

    with tempfile.TemporaryDirectory(prefix="f") as folder:
        uvloop.run(run(Path(folder)))
    return figures


async def one(folder: Path, chance: random.Random, figures: Figures) -> None:
    """One sandbox that talks."""
    slot = Slot("i1", os.getuid(), folder)
    slot.make()
    owner, life = Owner(), Lifecycle("i1")
    place = LocalPlace(slot, ReadyTrees(folder), Intake(), lambda pid: None, lambda slot, on_network: None)
    conversation = Conversation(place, life, owner, owner, asyncio.Protocol)
    await conversation.open()
    role = chance.choice(("agent", "agent", "supervisor"))
    if role == "agent":
        life.state = State.BASE
        booting = asyncio.ensure_future(conversation.boot("node24", ("agent",), {}, 1.0))
        await asyncio.sleep(0)
        life.state = chance.choice(list(State))
    _, writer = await asyncio.open_unix_connection(str(folder / f"{role}.sock"))
    told = [frame(chance) for _ in range(chance.randrange(1, FRAMES))]
    writer.write(b"".join(told))
    writer.close()  # what was said is heard to its end, or to the first breach
    await until(lambda: owner.ended or owner.heard["hung_up"] > 0)
    conversation.close(ProtocolError("over"))
    if role == "agent":
        await asyncio.gather(booting, return_exceptions=True)
    figures.counted["frames"] += len(told)
    figures.counted["sandboxes"] += 1
    figures.counted["ended"] += owner.ended
    slot.remove()
