"""The rules of a run's log, as a model of two processes that both think the run is theirs, in every interleaving.

One was taken for dead, and was only slow. Each reads the log, and goes on from what it read: it declares an attempt
lost that it finds open, opens the next one, and writes what a step returned. Compare-and-append keeps the log sound:
without it, the model finds what goes wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

STEPS = 2
Entry = tuple[str, int, int]  # what, attempt, step


@dataclass(frozen=True)
class Process:
    """`seen`: entries that it has read or written. `attempt`: that it has opened; 0: none."""

    seen: tuple[Entry, ...] | None = None
    attempt: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class World:
    log: tuple[Entry, ...] = ()
    processes: tuple[Process, ...] = (Process(), Process())


def opened(log: tuple[Entry, ...]) -> list[int]:
    """Attempts that have neither been lost nor ended."""
    found: list[int] = []
    for what, attempt, _ in log:
        if what == "invoked":
            found.append(attempt)
        elif what in ("lost", "ended") and attempt in found:
            found.remove(attempt)
    return found


def next_entry(process: Process) -> Entry | None:
    """What a process writes next, by what it has seen. None: the run has ended."""
    assert process.seen is not None
    seen = process.seen
    done = {step for what, _, step in seen if what == "done"}
    mine = opened(seen)
    if any(what == "ended" for what, _, _ in seen):
        return None
    if process.attempt and process.attempt in mine:
        left = [step for step in range(STEPS) if step not in done]
        return ("done", process.attempt, left[0]) if left else ("ended", process.attempt, -1)
    if mine:
        return ("lost", mine[0], -1)
    return ("invoked", 1 + sum(what == "invoked" for what, _, _ in seen), -1)


def moves(world: World, guarded: bool) -> list[World]:
    found = []
    for number, process in enumerate(world.processes):
        if process.stopped:
            continue
        if process.seen is None:
            after = replace(process, seen=world.log)
            found.append(World(world.log, _with(world.processes, number, after)))
        elif (entry := next_entry(process)) is None:
            found.append(World(world.log, _with(world.processes, number, replace(process, stopped=True))))
        elif guarded and len(process.seen) != len(world.log):
            # refused: it reads anew, as one that has opened nothing
            found.append(World(world.log, _with(world.processes, number, Process(stopped=True))))
        else:
            attempt = entry[1] if entry[0] == "invoked" else process.attempt
            after = Process((*process.seen, entry), attempt)
            found.append(World((*world.log, entry), _with(world.processes, number, after)))
    return found


def _with(processes: tuple[Process, ...], number: int, process: Process) -> tuple[Process, ...]:
    return (*processes[:number], process, *processes[number + 1 :])


def wrong(log: tuple[Entry, ...]) -> str | None:
    attempts = [attempt for what, attempt, _ in log if what == "invoked"]
    done = [step for what, _, step in log if what == "done"]
    if len(set(attempts)) != len(attempts):
        return "an attempt was opened twice"
    if len(opened(log)) > 1:
        return "two attempts are open"
    if len(set(done)) != len(done):
        return "a completed step ran again"
    return None


def explore(guarded: bool) -> tuple[int, set[str]]:
    """How many worlds there are, and what goes wrong in them."""
    seen, left, problems = {World()}, [World()], set[str]()
    while left:
        for world in moves(left.pop(), guarded):
            if (problem := wrong(world.log)) is not None:
                problems.add(problem)
            elif world not in seen:
                seen.add(world)
                left.append(world)
    return len(seen), problems


def test_with_compare_and_append_the_log_is_sound_in_every_interleaving() -> None:
    worlds, problems = explore(guarded=True)
    assert worlds > 50
    assert problems == set()


def test_without_it_the_model_finds_what_goes_wrong() -> None:
    _, problems = explore(guarded=False)
    assert problems == {"an attempt was opened twice", "a completed step ran again"}
