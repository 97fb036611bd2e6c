"""Requests per second and latency under load: several targets in turns, with the CPU time that a request costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from fnctl.bench import containers, load
from fnctl.bench.calls import Target
from fnctl.bench.load import Load, Outcome
from fnctl.bench.measure import LoadRow, Measure, NotMeasured, Question, Series
from fnctl.bench.stack import Stack
from fnctl.bench.stats import ratio_of_medians
from fnctl.bench.usage import process_cpu_s


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds so far, and of which containers: one that ends takes its count with it."""

    cpu_s: float
    containers: frozenset[str] = frozenset()

    def since(self, before: Used) -> float | None:
        """None where a container that was counted before has ended: nothing is known then."""
        return self.cpu_s - before.cpu_s if before.containers <= self.containers else None


Cpu = Callable[[], Used | None]  # what the server's side has used; None where it cannot be told


@dataclass(frozen=True, slots=True)
class Contender:
    """One target under load, with a way to tell what its servers' CPU time comes to."""

    name: str
    target: Target
    used: Cpu = lambda: None


@dataclass(frozen=True, slots=True)
class Round:
    outcome: Outcome
    server_cpu_s: float | None


def of_stack(name: str, stack: Stack, target: Target) -> Contender:
    """The CPU time is that of the process that serves and of all sandboxes of the project."""

    def used() -> Used | None:
        try:
            sandboxes = containers.of_project(stack.project.id)
            cpu_s = process_cpu_s([stack.pid]) + sum(sandbox.cgroup.cpu_s() for sandbox in sandboxes)
        except (NotMeasured, OSError):
            return None
        return Used(cpu_s, frozenset(sandbox.id for sandbox in sandboxes))

    return Contender(name, target, used)


def of_process(name: str, target: Target, pids: Sequence[int]) -> Contender:
    return Contender(name, target, lambda: Used(process_cpu_s(pids)))


def rounds(contenders: Sequence[Contender], connections: int, duration_s: float, n: int) -> list[list[Round]]:
    """`n` loads of each contender, a load of each in a round; who goes first alternates."""
    taken: list[list[Round]] = [[] for _ in contenders]
    for turn in range(n):
        order = range(len(contenders)) if turn % 2 == 0 else reversed(range(len(contenders)))
        for index in order:
            taken[index].append(_round(contenders[index], connections, duration_s))
    return taken


def _round(contender: Contender, connections: int, duration_s: float) -> Round:
    before = contender.used()
    outcome = load.apply(Load(contender.target, connections, duration_s))
    after = contender.used()
    if not outcome.requests:
        raise NotMeasured(f"{contender.name}: none of {outcome.failed} requests succeeded")
    return Round(outcome, after.since(before) if before is not None and after is not None else None)


def rows(contenders: Sequence[Contender], connections: int, taken: Sequence[Sequence[Round]]) -> list[LoadRow]:
    """One row a contender; from the second on, the first's rate over its own."""
    made = [_row(contender, connections, took) for contender, took in zip(contenders, taken, strict=True)]
    first = [took.outcome.rps for took in taken[0]]
    return [
        row if index == 0 else replace(row, ratio=ratio_of_medians(first, [took.outcome.rps for took in taken[index]]))
        for index, row in enumerate(made)
    ]


def _row(contender: Contender, connections: int, taken: Sequence[Round]) -> LoadRow:
    """Medians over the rounds: percentiles of several rounds are never averaged."""
    outcomes = [took.outcome for took in taken]
    requests = sum(outcome.requests for outcome in outcomes)
    server = [took.server_cpu_s for took in taken]
    return LoadRow(
        target=contender.name,
        connections=connections,
        tool=outcomes[0].tool,
        rounds=len(taken),
        requests=requests,
        failed=sum(outcome.failed for outcome in outcomes),
        rps=median(outcome.rps for outcome in outcomes),
        p50_ms=median(outcome.p50_ms or 0.0 for outcome in outcomes),
        p90_ms=median(outcome.p90_ms or 0.0 for outcome in outcomes),
        p99_ms=median(outcome.p99_ms or 0.0 for outcome in outcomes),
        server_cpu_ms=None if None in server else sum(used or 0.0 for used in server) * 1000 / requests,
        client_cpu_ms=sum(outcome.client_cpu_s for outcome in outcomes) * 1000 / requests,
    )


def compared(
    ask: Question, contenders: Sequence[Contender], connections: int, duration_s: float, n: int
) -> tuple[Measure, list[LoadRow]]:
    """Rates of two contenders as a measure: each sample is one round's requests per second."""
    taken = rounds(contenders, connections, duration_s, n)
    made = rows(contenders, connections, taken)
    series = tuple(
        Series(contender.name, tuple(took.outcome.rps for took in rounds_), note=_note(row))
        for contender, rounds_, row in zip(contenders, taken, made, strict=True)
    )
    return Measure(
        ask, series, notes=(f"{connections} connections, {duration_s:g} s a round, by {made[0].tool}",)
    ), made


def _note(row: LoadRow) -> str:
    cpu = "unknown" if row.server_cpu_ms is None else f"{row.server_cpu_ms * 1000:.0f} µs"
    failed = f", {row.failed} failed" if row.failed else ""
    return f"server CPU a request {cpu}{failed}"
