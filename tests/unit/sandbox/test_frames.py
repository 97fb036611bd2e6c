"""What an agent may say on its control connection, generated: whatever it is, nothing escapes, and whoever waits for
the agent is told at once or goes on waiting for one that is well."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import uvloop

from fnctl.model import Bundle, Function, Model, RuntimeSpec
from fnctl.sandbox.instance import Instance, InstanceOwner
from fnctl.sandbox.intake import Intake
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.link import Channel, SocketLink
from fnctl.sandbox.loading import Code

FRAMES = int(os.environ.get("FRAMES", "4000"))  # `make faults` plays 100,000
SEED = int(os.environ.get("SEED", "1"))
TURN = 200  # frames that one loop plays
RUNTIME = RuntimeSpec("node24", "node", "24.0.0", Path("/nowhere"), ("/opt/agent",))
OPS = ("hello", "ahead", "loaded", "waiting", "load_failed", "done", "started", "exited", "error", "dial", "", "x")
FIELDS = ("protocol", "role", "runtime", "pid", "boot", "ms", "kind", "fork", "for", "type", "message", "file", "line",
          "stack", "cpu_ms", "peak_kb", "code", "signal", "oom")  # fmt: skip


class Transport:
    """One end of a connection of the slot's own user."""

    def __init__(self) -> None:
        self.aborted = False

    def get_extra_info(self, name: str) -> Any:
        return self

    def getsockopt(self, *_: Any) -> bytes:
        return b"".join(number.to_bytes(4, "little") for number in (7, 1000, 1000))

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True


class Place:
    """A sandbox's place without a file system."""

    id = "s1"
    uid = 1000

    def link(self, owner: Any, data: Any) -> SocketLink:
        self.made = SocketLink(Path("/nowhere"), self.uid, owner, data, Intake().share())
        return self.made


class Owner(InstanceOwner):
    def __init__(self) -> None:
        self.ends = 0

    def offered(self, instance: Instance, connection: Any) -> None: ...

    def withdrawn(self, instance: Instance, connection: Any) -> None: ...

    def draining(self, instance: Instance) -> None: ...

    def died(self, instance: Instance) -> None:
        self.ends += 1

    def logged(self, instance: Instance, invocation: str | None, text: str) -> None: ...


def code(model: Model) -> Code:
    function = Function(name="f", path=Path("/code"), runtime="node24", handler="index.js", model=model)
    return Code(function, Bundle("f", "sha256:" + "0" * 64, Path("/b"), "node24", "index.js", 1, 1), RUNTIME)


def values(chance: random.Random, depth: int = 0) -> Any:
    """Of every kind that JSON has, and of sizes that nobody means."""
    kind = chance.randrange(14 if depth < 3 else 10)
    if kind == 10:
        return [values(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 11:
        return {chance.choice(FIELDS): values(chance, depth + 1) for _ in range(chance.randrange(4))}
    if kind == 12:
        return nested(chance.choice((50, 500, 900)))
    plain: list[Any] = [None, True, -1, 0, 1, 10 ** chance.choice((9, 18, 400)), float("inf"), float("nan"), 1e308]
    texts = ["", "index.js", "\ud800", "\udfff x", "é" * 9, "x" * 70_000, "node24", "\x00\x1e\x1f"]
    return chance.choice([*plain, *texts])


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def frame(chance: random.Random, secret: str) -> bytes:
    kind = chance.randrange(12)
    if kind == 0:
        return chance.randbytes(chance.randrange(200)) + b"\n"
    if kind == 1:
        return chance.choice((b"[", b'{"op":', b'{"op":"done","code":')) * chance.choice((2_000, 20_000)) + b"\n"
    if kind == 2:
        return b'{"op":"done","cpu_ms":' + b"9" * chance.choice((400, 5000)) + b"}\n"
    said = {name: values(chance) for name in chance.sample(FIELDS, chance.randrange(6))}
    said["op"] = chance.choice(OPS) if kind < 11 else values(chance)
    if chance.random() < 0.5:
        said |= {"protocol": 1, "boot": secret}
    line = json.dumps(said, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if kind == 3:  # some of its bytes are others
        mangled = bytearray(line)
        for _ in range(3):
            mangled[chance.randrange(len(mangled))] = chance.randrange(256)
        line = bytes(mangled)
    return line + b"\n"


async def play(chance: random.Random) -> None:
    """One instance, brought up to some point of its life, and some frames of its agent's."""
    owner, place = Owner(), Place()
    instance = Instance(place, owner, lambda _: asyncio.Protocol(), lambda _: None)  # type: ignore[arg-type]
    link, conversation = place.made, instance.conversation
    supervisor, agent = Channel(link, "supervisor"), Channel(link, "agent")
    supervisor.connection_made(Transport())  # type: ignore[arg-type]
    supervisor.data_received(b'{"op":"hello","protocol":1,"role":"supervisor","pid":1}\n')
    waits: list[asyncio.Task[Any]] = [asyncio.create_task(instance.boot(RUNTIME))]
    await asyncio.sleep(0)
    agent.connection_made(Transport())  # type: ignore[arg-type]
    secret = conversation._hearing.secret
    if chance.random() < 0.9:
        hello = {"op": "hello", "protocol": 1, "runtime": "node24", "boot": secret}
        agent.data_received(json.dumps(hello).encode() + b"\n")
        await waits[0]
        model = chance.choice(list(Model))
        waits.append(asyncio.create_task(instance.load(code(model), 30.0)))
        await asyncio.sleep(0)
        if chance.random() < 0.7:
            agent.data_received(b'{"op":"loaded","ms":1,"kind":"web","fork":true}\n')
            await waits[-1]
            if chance.random() < 0.7:
                instance.serving.begin()
    said = b"".join(frame(chance, secret) for _ in range(chance.randrange(1, 4)))
    cut = chance.randrange(len(said) + 1)
    agent.data_received(said[:cut])
    agent.data_received(said[cut:])
    for _ in range(4):
        await asyncio.sleep(0)
    if instance.state is State.DEAD:
        assert owner.ends == 1
        assert all(task.done() for task in waits), "somebody waits for what is dead"
    instance.end(instance.death or Death.LOST)
    await asyncio.gather(*waits, return_exceptions=True)


def test_no_frame_of_an_agents_escapes_or_leaves_anybody_waiting() -> None:
    async def history(first: int) -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        for number in range(first, first + TURN):
            await play(random.Random(f"{SEED}:{number}"))
            assert errors == [], f"SEED={SEED}, frame {number}"

    for first in range(0, FRAMES, TURN):
        uvloop.run(history(first))
