"""A sandbox that breaks the protocol: whatever it says, it is destroyed alone, and every other one serves on."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fnctl.errors import FnctlError
from fnctl.model import Model, Scale
from fnctl.sandbox.lifecycle import Death, State
from tests.support.turning import until
from tests.unit.dispatch.played import WAIT_S, PlayedSandbox, Stage1, play, say

WORDS = st.sampled_from(["hello", "started", "exited", "error", "loaded", "load_failed", "done", "dial", "load", ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
FIELDS = st.sampled_from(
    ["protocol", "role", "runtime", "pid", "code", "signal", "cpu_ms", "peak_kb", "kind", "fork", "ms", "message",
     "type", "file", "line", "stack"]
)  # fmt: skip
MESSAGES = st.builds(
    lambda op, rest: json.dumps({**rest, "op": op}).encode() + b"\n",
    WORDS | SCALARS,
    st.dictionaries(FIELDS, VALUES, max_size=6),
)
# By name, so that hypothesis can print what it found.
LARGE = {
    b"deep": b"[" * 100_000 + b"\n",
    b"deep objects": b'{"op":' * 50_000 + b"\n",
    b"long": b"x" * (2 << 20),
}
GARBAGE = st.lists(
    MESSAGES | st.binary(max_size=200).map(lambda noise: noise + b"\n") | st.sampled_from(list(LARGE)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(said=GARBAGE, role=st.sampled_from(["agent", "supervisor"]), busy=st.booleans(), model=st.sampled_from(Model))
def test_garbage_harms_nobody_else(said: list[bytes], role: str, busy: bool, model: Model) -> None:
    """It may be destroyed or not, as the words say; the function next to it, and the next call, are served."""

    async def history(stage: Stage1) -> None:
        loop_errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: loop_errors.append(context))
        stage.script.forks = model is Model.EPHEMERAL
        await stage.start(stage.code("bad", model=model, scale=Scale(0, 1)), stage.code("good"))
        good, lease = await stage.lease("good"), await stage.lease("bad")
        bad = stage.pool.sandboxes.alive[lease.instance]
        sandbox = stage.sandbox_of(lease)
        if not busy:
            lease.release(reusable=True)
        speak(sandbox, role, b"".join(LARGE.get(piece, piece) for piece in said))
        await until(lambda: bad.state is State.DEAD or heard(sandbox, role))
        if busy:
            lease.release(reusable=False)
        good.release(reusable=True)
        (await stage.lease("good")).release(reusable=True)
        await until(lambda: bad.serving.in_flight == 0)
        assert loop_errors == []

    with tempfile.TemporaryDirectory(prefix="g") as folder:
        play(Path(folder), history)


def speak(sandbox: PlayedSandbox, role: str, said: bytes) -> None:
    writer = sandbox.agent if role == "agent" else sandbox.supervisor
    assert writer is not None
    writer.write(said)


def heard(sandbox: PlayedSandbox, role: str) -> bool:
    """All that was said has left this end."""
    writer = sandbox.agent if role == "agent" else sandbox.supervisor
    return writer is None or writer.transport.get_write_buffer_size() == 0


Said = Callable[[PlayedSandbox], None]


def agent_says(**message: Any) -> Said:
    def speaks(sandbox: PlayedSandbox) -> None:
        assert sandbox.agent is not None
        say(sandbox.agent, message)

    return speaks


def supervisor_says(**message: Any) -> Said:
    def speaks(sandbox: PlayedSandbox) -> None:
        assert sandbox.supervisor is not None
        say(sandbox.supervisor, message)

    return speaks


BREACHES: dict[str, Said] = {
    "a second load is answered": agent_says(op="loaded", kind="web"),
    "a second hello": agent_says(op="hello", protocol=1, role="agent", runtime="node24"),
    "done though nothing ran": agent_says(op="done", cpu_ms=1, peak_kb=1),
    "an unknown word": agent_says(op="please"),
    "the supervisor's hello again": supervisor_says(op="hello", protocol=1),
    "the agent's word from the supervisor": supervisor_says(op="loaded", kind="web"),
    "figures that are none": supervisor_says(op="exited", code=[], signal={}, cpu_ms="x"),
    "figures of an invocation that are none": agent_says(op="done", cpu_ms=[], peak_kb={}),
    "nested beyond measure": lambda sandbox: speak(sandbox, "agent", LARGE[b"deep"]),
    "a line without end": lambda sandbox: speak(sandbox, "agent", LARGE[b"long"]),
}


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES)
def test_a_breach_destroys_the_sandbox(tmp_path: Path, breach: Said) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(), stage.code("good"))
        good, lease = await stage.lease("good"), await stage.lease()
        bad = stage.pool.sandboxes.alive[lease.instance]
        breach(stage.sandbox_of(lease))
        await until(lambda: bad.state is State.DEAD)
        assert bad.death in (Death.BREACH, Death.CRASHED)
        told: list[FnctlError] = []
        lease.failure(told.append)
        await until(lambda: bool(told))
        assert told[0].http_status == 502
        lease.release(reusable=False)
        good.release(reusable=True)
        again = await stage.lease()
        assert again.instance != lease.instance
        again.release(reusable=True)

    play(tmp_path, history)


def test_a_second_control_connection_is_hung_up(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        for role in ("agent", "supervisor"):
            path = stage.sandbox_of(lease).folder / f"{role}.sock"
            reader, writer = await asyncio.open_unix_connection(str(path))
            assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
            writer.close()
        assert stage.pool.sandboxes.alive[lease.instance].state is State.BUSY
        lease.release(reusable=True)

    play(tmp_path, history)
