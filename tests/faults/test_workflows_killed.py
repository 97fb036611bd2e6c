"""A process that is killed at any point of any kind of step: the next one goes on with the run from its log. No
completed step is done again, and no attempt is opened twice."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.killed_workflow import TEXTS, Life

SEED = int(os.environ.get("SEED", "20"))
SEEDS = int(os.environ.get("KILL_SEEDS", "1"))  # `make faults`: twenty
KILLS = 6 if SEEDS > 1 else 3  # of one run, at most
ROOT = Path(__file__).parents[2]


@dataclasses.dataclass
class Lives:
    folder: Path
    nursery: subprocess.Popen[str]

    def live(self, life: Life) -> int:
        assert self.nursery.stdin is not None and self.nursery.stdout is not None
        self.nursery.stdin.write(json.dumps(dataclasses.asdict(life)) + "\n")
        self.nursery.stdin.flush()
        return int(self.nursery.stdout.readline())

    def journal(self) -> list[tuple[str, str]]:
        lines = (self.folder / "journal").read_text().splitlines()
        return [(what, said) for what, _, said in (line.partition(" ") for line in lines)]

    def end(self) -> dict[str, Any]:
        what, said = self.journal()[-1]
        assert what == "ended"
        found: dict[str, Any] = json.loads(said)
        return found


@contextmanager
def lives(folder: Path, name: str) -> Iterator[Lives]:
    folder.mkdir()
    command = [sys.executable, "-m", "tests.faults.killed_workflow", str(folder), name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as nursery:
        yield Lives(folder, nursery)
        assert nursery.stdin is not None
        nursery.stdin.close()


def done_once(journal: list[tuple[str, str]]) -> int:
    """Holds the journal of a run's lives to the promise; how many acts there were."""
    completed: set[str] = set()
    acts: list[str] = []
    for what, said in journal:
        if what == "completed":
            completed.add(said)
        elif what == "act":
            assert said.rpartition(" ")[0] not in completed, f"{said} was completed, and is done again"
            acts.append(said)
    again = {act for act in acts if acts.count(act) > 1}
    assert not again, f"opened twice: {again}"
    return len(acts)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", TEXTS)
def test_a_workflow_killed_anywhere_goes_on(tmp_path: Path, name: str) -> None:
    with lives(tmp_path / "undisturbed", name) as made:
        assert made.live(Life()) == 0
        wanted, passed = made.end()["end"], made.end()["passed"]
        assert done_once(made.journal()) > 5
    assert set(passed) == {"begin", "begun", "statement", "commit", "committed", "before an act", "after an act"}
    kills = 0
    for number, point in enumerate(sorted(passed) * SEEDS):
        random = Random(f"{SEED} {number}")
        with lives(tmp_path / str(number), name) as made:
            for _ in range(KILLS):  # the first anywhere in the run; the others soon after it was taken up
                most = passed[point] if not kills or random.random() < 0.5 else 12
                ended = made.live(Life(point, random.randrange(most)))
                if ended == 0:
                    break
                assert ended == -signal.SIGKILL
                kills += 1
            else:
                assert made.live(Life()) == 0
            assert made.end()["end"] == wanted, f"SEED={SEED}: {number}, {point}"
            done_once(made.journal())
    sys.stdout.write(f"SEED={SEED}: {name}: {kills} kills\n")
    assert kills >= len(passed)
