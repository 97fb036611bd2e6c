"""A sandbox that takes of the host what it can: connections, and what it says on them. Played, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fnctl.dispatch.admission import Lease
from fnctl.sandbox.intake import TURN
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.link import REFUSED_AT_ONCE
from fnctl.sandbox.output import MAX_LINE, MAX_OPEN, MAX_UNREAD, PIECE, Output
from tests.support.printing import printing_to
from tests.support.turning import turns, until
from tests.unit.dispatch.played import WAIT_S, PlayedSandbox, Stage1, play


class Inside:
    """What a function opens in its sandbox. It ends with it."""

    def __init__(self, sandbox: PlayedSandbox) -> None:
        self.sandbox = sandbox
        self.clients: list[socket.socket] = []
        self.pipes: set[int] = set()

    def output(self) -> int:
        """Where to print, without waiting."""
        end = printing_to(self.sandbox.folder / "log.sock")
        os.set_blocking(end, False)
        self.pipes.add(end)
        return end

    def close(self, pipe: int) -> None:
        self.pipes.remove(pipe)
        os.close(pipe)

    def dial(self, name: str) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.clients.append(client)
        client.connect(str(self.sandbox.folder / f"{name}.sock"))
        return client

    def end(self) -> None:
        for client in self.clients:
            client.close()
        for pipe in tuple(self.pipes):
            self.close(pipe)


@contextlib.asynccontextmanager
async def inside(stage: Stage1, lease: Lease) -> AsyncIterator[Inside]:
    made = Inside(stage.sandbox_of(lease))
    output = outputs(stage, lease)
    try:
        yield made
    finally:
        made.end()
        await until(lambda: not output._pipes)


def outputs(stage: Stage1, lease: Lease) -> Output:
    """What the host holds of what the sandbox prints."""
    return stage.pool.sandboxes.alive[lease.instance].conversation._link._output  # type: ignore[attr-defined,no-any-return]


def is_read_by_nobody(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def test_more_log_connections_than_agents_open_are_turned_away(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(), stage.code("good"))
        lease = await stage.lease()
        async with inside(stage, lease) as crowd:
            held = [crowd.output() for _ in range(MAX_OPEN)]
            await until(lambda: len(outputs(stage, lease)._pipes) == MAX_OPEN)
            refused = crowd.output()
            await until(lambda: is_read_by_nobody(refused))
            os.write(held[0], b"still heard\n")
            await until(lambda: "still heard" in said(stage))
            crowd.close(held[0])  # one ends: another is welcome
            os.write(crowd.output(), b"welcome\n")
            await until(lambda: "welcome" in said(stage))
        lease.release(reusable=True)

    play(tmp_path, history)


def said(stage: Stage1) -> set[str]:
    return {text for *_, text in stage.log}


def test_what_was_printed_last_is_read_though_others_connect_by_then(tmp_path: Path) -> None:
    """The kernel knows that they have ended before we have read what they printed: their places are free."""

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        async with inside(stage, lease) as crowd:
            for turn in range(2):
                for number, pipe in enumerate([crowd.output() for _ in range(MAX_OPEN)]):
                    os.write(pipe, b"%d of %d\n" % (number, turn))
                    crowd.close(pipe)
            all_of_it = {f"{number} of {turn}" for turn in range(2) for number in range(MAX_OPEN)}
            await until(lambda: all_of_it <= said(stage))
        lease.release(reusable=True)

    play(tmp_path, history)


@pytest.mark.parametrize("name", ["log", "agent", "supervisor", "data"])
def test_who_connects_without_end_is_ended_alone(tmp_path: Path, name: str) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=2), stage.code("good"))
        lease, good = await stage.lease(), await stage.lease("good")
        bad, output = stage.pool.sandboxes.alive[lease.instance], outputs(stage, lease)
        most = 0
        async with inside(stage, lease) as crowd:
            with contextlib.suppress(OSError):  # nobody listens any more
                while len(crowd.clients) < 3 * REFUSED_AT_ONCE:
                    crowd.dial(name)
                    await turns(2)
                    most = max(most, len(output._pipes))
            await until(lambda: bad.state is State.DEAD)
        assert bad.death is Death.BREACH
        assert most <= MAX_UNREAD
        lease.release(reusable=False)
        good.release(reusable=True)
        (await stage.lease("good")).release(reusable=True)

    play(tmp_path, history)


def test_a_flood_of_empty_lines_is_read_in_small_turns_and_held_in_little(tmp_path: Path) -> None:
    """More is written than the host reads in that time: the writers wait, and their neighbour's lines come."""

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(), stage.code("good"))
        lease, good = await stage.lease(), await stage.lease("good")
        held: list[int] = []
        async with inside(stage, lease) as crowd, inside(stage, good) as neighbour:
            floods = [asyncio.ensure_future(flood(crowd.output())) for _ in range(MAX_OPEN)]
            quiet = neighbour.output()
            for number in range(20):
                os.write(quiet, b"quiet %d\n" % number)
                await until(lambda text=f"quiet {number}": text in said(stage))  # type: ignore[misc]
                held.append(sum(len(pipe._unread) for pipe in outputs(stage, lease)._pipes))
            assert not any(each.done() for each in floods)
            for each in floods:
                each.cancel()
            await asyncio.gather(*floods, return_exceptions=True)
            stage.pool.sandboxes.alive[lease.instance].end(Death.CRASHED)
        assert stage.placement.intake.longest <= TURN + 1
        assert max(held) <= MAX_OPEN * (MAX_LINE + PIECE)
        assert any("dropped" in text for text in said(stage)), "what the dead had printed is not read to its end"
        lease.release(reusable=False)
        good.release(reusable=True)

    play(tmp_path, history)


async def flood(pipe: int) -> None:
    """4 MB of empty lines."""
    left = 4 << 20
    while left:
        with contextlib.suppress(BlockingIOError):
            left -= os.write(pipe, b"\n" * min(left, 65536))
        await turns(1)


@pytest.mark.parametrize("what", ["a file", "a named pipe", "a connection", "nothing"])
def test_what_cannot_be_read_without_waiting_is_turned_away(tmp_path: Path, what: str) -> None:
    """Instead of a pipe's reading end. It could hold up the host at the first read of it."""

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        async with inside(stage, lease) as crowd:
            with contextlib.ExitStack() as kept, crowd.dial("log") as connection:
                socket.send_fds(connection, [b"\n"], handed(what, tmp_path, kept))
                await until(lambda: not connection_is_open(connection))
            assert not outputs(stage, lease)._pipes
            os.write(crowd.output(), b"heard\n")
            await until(lambda: "heard" in said(stage))
        lease.release(reusable=True)

    play(tmp_path, history)


def handed(what: str, folder: Path, kept: contextlib.ExitStack) -> list[int]:
    def keep(*ends: int) -> tuple[int, ...]:
        for end in ends:
            kept.callback(os.close, end)
        return ends

    if what == "nothing":
        return []
    if what == "a file":
        (folder / "file").write_text("a line\n")
        return list(keep(os.open(folder / "file", os.O_RDONLY)))
    if what == "a named pipe":
        os.mkfifo(folder / "pipe")
        return list(keep(os.open(folder / "pipe", os.O_RDWR)))
    return [kept.enter_context(end).fileno() for end in socket.socketpair()][:1]


def connection_is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def test_who_sent_a_pipe_cannot_make_the_host_wait_for_it(tmp_path: Path) -> None:
    """The one that was sent is kept, and made a blocking one; who else reads it can leave nothing to read."""

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        async with inside(stage, lease) as crowd:
            reading, writing = os.pipe()
            with crowd.dial("log") as connection:
                socket.send_fds(connection, [b"\n"], [reading])
            await until(lambda: outputs(stage, lease)._pipes)
            os.set_blocking(reading, True)
            os.write(writing, b"first\n")
            await until(lambda: "first" in said(stage))
            (pipe,) = (pipe for pipe in outputs(stage, lease)._pipes if pipe.fileno() >= 0)
            pipe._read()  # with nothing there
            os.write(writing, b"second\n")
            await until(lambda: "second" in said(stage))
            os.close(reading)
            os.close(writing)
        lease.release(reusable=True)

    play(tmp_path, history)


def test_an_agent_that_talks_without_end_is_heard_a_little_at_a_time(tmp_path: Path) -> None:
    """Words that are allowed: what it waits for, while it loads."""

    async def history(stage: Stage1) -> None:
        stage.script.load_hangs = True
        await stage.start(stage.code(), stage.code("good"))
        asking = stage.enqueue()
        await until(lambda: stage.script.loads)
        (talker,) = (
            each for each in stage.engine.played.values() if each.agent and each.folder.joinpath("app").exists()
        )
        assert talker.agent is not None
        talker.agent.write(b'{"op":"waiting","for":"x"}\n' * 100_000)
        stage.script.load_hangs = False
        (await stage.lease("good")).release(reusable=True)
        assert talker.agent.transport.get_write_buffer_size() > 0, "it has not been heard out"
        talker.exit(code=1)
        await asyncio.wait_for(asking, WAIT_S)

    play(tmp_path, history)
