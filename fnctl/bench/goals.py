"""What each figure should come to: what has to hold, and what is hoped for. Not how it is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fnctl.bench.measure import Question


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
    "edit": Goal(300, 100),
    "memory-base": Goal(12, 4),
    "memory-instance": Goal(1.3, 1.0),
    "help": Goal(150),
    "build-nothing": Goal(500),
}


def with_goal(question: Question) -> Question:
    """The question with what its figure should come to, where that is set."""
    goal = GOALS.get(question.id)
    return question if goal is None else replace(question, reach=goal.reach, aim=goal.aim)
