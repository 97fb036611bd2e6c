"""What each figure should come to: what has to hold, and what is hoped for. Not how it is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fnctl.bench.measure import Measure


@dataclass(frozen=True, slots=True)
class Goal:
    """In the unit of the question's comparison, or of its one figure where nothing is compared."""

    reach: float
    aim: float | None = None


# Ratios within one run on one machine, so that they carry from one machine to the next; the last ones are absolute.
GOALS = {
    "start-runtime-express": Goal(0.35, 0.20),
    "start-runtime-flask": Goal(0.35, 0.10),
    "start-base-express": Goal(0.9, 0.6),
    "start-base-flask": Goal(0.9, 0.6),
    "start-cold-express": Goal(0.8, 0.5),
    "start-cold-flask": Goal(0.8, 0.5),
    "start-asleep-express": Goal(5, 1.5),
    "start-asleep-flask": Goal(5, 1.5),
    "warmup-flask": Goal(0.8, 0.55),
    "first-call-services": Goal(1.5, 1.1),
    "first-call-egress": Goal(1.5, 1.1),
    "first-call-limits": Goal(1.5, 1.1),
    "gateway-nginx": Goal(0.8, 1.0),
    "express-throughput": Goal(0.93, 1.0),
    "added-latency": Goal(80, 40),
    "ephemeral-python-process": Goal(50, 150),
    "ephemeral-node-process": Goal(10, 25),
    "ephemeral-python-container": Goal(2, 4),
    "ephemeral-node-container": Goal(2, 4),
    "burst": Goal(4, 2),
    "crowd": Goal(1.2, 1.0),
    "slow-clients": Goal(2.0, 1.2),
    "noisy-neighbour": Goal(2.0, 1.2),
    "deferred-accepted": Goal(10_000),
    "deferred-accepted-p99": Goal(10),
    "deferred-start": Goal(3),
    "deferred-start-p99": Goal(15),
    "call-added": Goal(0.3),
    "pending-memory": Goal(300),
    "pending-late": Goal(50),
    "cron-year": Goal(5),
    "workflow-steps": Goal(0.8),
    "workflow-rate": Goal(1.25),
    "edit": Goal(300, 100),
    "memory-base": Goal(12, 4),
    "memory-instance": Goal(1.3, 1.0),
    "memory-asleep-express": Goal(1.3, 1.15),
    "memory-asleep-flask": Goal(1.3, 1.15),
    "help": Goal(150),
    "build-nothing": Goal(500),
}


def with_goal(measure: Measure) -> Measure:
    """The measure with what its figure should come to, where that is set."""
    goal = GOALS.get(measure.question.id)
    if goal is None:
        return measure
    return replace(measure, question=replace(measure.question, reach=goal.reach, aim=goal.aim))
