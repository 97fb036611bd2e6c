"""The life of an instance: states, the one table of transitions, and what a tier is. Pure."""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    STARTING = "starting"  # the engine is making the sandbox
    BASE = "base"  # the supervisor has said hello; no runtime
    RUNTIME = "runtime"  # an agent has said hello; no code
    LOADING = "loading"  # code on its way in
    IDLE = "idle"  # loaded, no invocation
    BUSY = "busy"  # loaded, at least one invocation, or being cleaned after one
    DRAINING = "draining"  # takes no new invocation; ends when the last has ended
    DEAD = "dead"


_NEXT: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.BASE, State.DEAD}),
    State.BASE: frozenset({State.RUNTIME, State.DRAINING, State.DEAD}),
    State.RUNTIME: frozenset({State.LOADING, State.DRAINING, State.DEAD}),
    State.LOADING: frozenset({State.IDLE, State.DRAINING, State.DEAD}),
    State.IDLE: frozenset({State.BUSY, State.DRAINING, State.DEAD}),
    # busy → base: an ephemeral instance without fork is cleaned down to its supervisor, and booted and loaded anew
    State.BUSY: frozenset({State.IDLE, State.BASE, State.DRAINING, State.DEAD}),
    State.DRAINING: frozenset({State.DEAD}),
    State.DEAD: frozenset(),
}


class Death(enum.StrEnum):
    """Why an instance ended."""

    REAPED = "reaped"  # idle longer than its function allows
    USED = "used"  # isolation container: one invocation each
    REPLACED = "replaced"  # a new version took over
    STOPPED = "stopped"  # fnctl stops
    TIMEOUT = "timeout"  # an invocation passed its deadline
    CRASHED = "crashed"  # the agent's process ended by itself
    OOM = "oom"
    LOAD_FAILED = "load_failed"
    BREACH = "breach"  # it broke the protocol
    STRAYS = "strays"  # its function left too many processes behind after its answers
    LOST = "lost"  # the sandbox went away under us
    SURPLUS = "surplus"  # more pooled than wanted


def may(old: State, new: State) -> bool:
    """Whether the table allows old → new."""
    return new in _NEXT[old]
