"""The life of an instance: its states, the one table of transitions, and why it ended. Pure."""

from __future__ import annotations

import enum

from fnctl.errors import ProtocolError


class State(enum.StrEnum):
    STARTING = "starting"  # the engine is making the sandbox
    BASE = "base"  # the supervisor has said hello; no runtime
    RUNTIME = "runtime"  # an agent has said hello; no code
    LOADING = "loading"  # code on its way in
    IDLE = "idle"  # loaded, no invocation
    ASLEEP = "asleep"  # idle for long: loaded, its memory collected, and the first to end where memory is needed
    BUSY = "busy"  # loaded, at least one invocation, or being cleaned after one
    DRAINING = "draining"  # takes no new invocation; ends when the last has ended
    DEAD = "dead"


_NEXT: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.BASE, State.DEAD}),
    State.BASE: frozenset({State.RUNTIME, State.DRAINING, State.DEAD}),
    State.RUNTIME: frozenset({State.LOADING, State.DRAINING, State.DEAD}),
    State.LOADING: frozenset({State.IDLE, State.DRAINING, State.DEAD}),
    State.IDLE: frozenset({State.BUSY, State.ASLEEP, State.DRAINING, State.DEAD}),
    State.ASLEEP: frozenset({State.BUSY, State.DRAINING, State.DEAD}),
    # busy → base: an ephemeral instance without fork is cleaned down to its supervisor, and booted and loaded anew
    State.BUSY: frozenset({State.IDLE, State.BASE, State.DRAINING, State.DEAD}),
    State.DRAINING: frozenset({State.DEAD}),
    State.DEAD: frozenset(),
}


class Death(enum.StrEnum):
    """Why an instance ended."""

    REAPED = "reaped"  # idle, and asleep, longer than its function allows
    EVICTED = "evicted"  # asleep, and its memory was needed for others
    USED = "used"  # isolation container: one invocation each
    REPLACED = "replaced"  # a new version took over
    STOPPED = "stopped"  # fnctl stops
    TIMEOUT = "timeout"  # an invocation passed its deadline
    CRASHED = "crashed"  # the agent's process ended by itself
    OOM = "oom"
    LOAD_FAILED = "load_failed"
    BREACH = "breach"  # it broke the protocol
    LEFTOVER_PROCESSES = "leftover_processes"  # its function left too many processes behind after its answers
    LOST = "lost"  # the sandbox went away under us
    SURPLUS = "surplus"  # more pooled than wanted

    @property
    def in_order(self) -> bool:
        """Its program has done nothing wrong, and is let go of because it is not needed any more."""
        return self in (Death.REAPED, Death.EVICTED, Death.REPLACED, Death.STOPPED, Death.LEFTOVER_PROCESSES)


def may(old: State, new: State) -> bool:
    """Whether the table allows old → new."""
    return new in _NEXT[old]


class Lifecycle:
    """The state of one instance, and why it ended or is about to. Once dead, it stays dead."""

    __slots__ = ("death", "instance", "state")

    def __init__(self, instance: str) -> None:
        self.instance = instance  # its id, for the error
        self.state = State.STARTING
        self.death: Death | None = None

    @property
    def takes_requests(self) -> bool:
        """Loaded and open to new invocations."""
        return self.state is State.IDLE or self.state is State.BUSY or self.state is State.ASLEEP

    def move(self, new: State) -> None:
        """ProtocolError where the table does not allow it: what the sandbox said came out of order."""
        if not may(self.state, new):
            raise ProtocolError(f"instance {self.instance} cannot go from {self.state} to {new}")
        self.state = new

    def end(self, why: Death) -> None:
        self.state, self.death = State.DEAD, why
