"""A run that is killed at any point loses no deferred call, and ends none twice."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from fnctl.store.port import Counts, MessageState
from fnctl.store.sqlite import SqliteStore
from tests.faults.killed_run import LANES, POINTS, Life

KILLS = int(os.environ.get("TRIES", str(len(POINTS))))  # `make faults` kills two hundred times
CALLS = 60 if len(POINTS) >= KILLS else 500  # a life, where it is not killed before
SEED = int(os.environ.get("SEED", "20"))
ROOT = Path(__file__).parents[2]


class Lives:
    def __init__(self, folder: Path, nursery: subprocess.Popen[str]) -> None:
        self.folder = folder
        self._nursery = nursery

    def live(self, life: Life) -> int:
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(dataclasses.asdict(life)) + "\n")
        self._nursery.stdin.flush()
        return int(self._nursery.stdout.readline())

    def journal(self) -> list[tuple[str, str]]:
        lines = (self.folder / "journal").read_text().splitlines()
        return [(what, id) for what, _, id in (line.partition(" ") for line in lines)]


@contextmanager
def lives(folder: Path) -> Iterator[Lives]:
    command = [sys.executable, "-m", "tests.faults.killed_run", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as nursery:
        yield Lives(folder, nursery)
        assert nursery.stdin is not None
        nursery.stdin.close()


def killed(made: Lives, random: Random, point: str) -> int:
    """Lives until one was killed; how many calls were asked to be accepted."""
    asked = 0
    for tries in range(50):
        passes = int(POINTS[point] ** random.random() / 2 ** (tries // 2))
        asked += CALLS
        end = made.live(Life(CALLS, point, passes))
        if end in (-signal.SIGKILL, -signal.SIGALRM):
            return asked
        assert end == 0
    raise AssertionError(f"no life came to the point `{point}`")


async def stored(path: Path, ids: set[str]) -> tuple[Counts, Counter[MessageState | None]]:
    store = SqliteStore(path)
    await store.open()
    found = [await store.queues.find(id) for id in ids]
    counts = (await store.queues.counts())["fn/app"]
    await store.close()
    return counts, Counter(None if each is None else each.state for each in found)


@pytest.mark.timeout(3600)
def test_a_run_killed_at_any_point_loses_no_call_and_ends_none_twice(tmp_path: Path) -> None:
    random, points = Random(SEED), list(POINTS)
    with lives(tmp_path) as made:
        for number in range(KILLS):
            killed(made, random, points[number % len(points)])
        accepted = sum(what == "accepted" for what, _ in made.journal())
        assert made.live(Life(max(0, KILLS * CALLS - accepted))) == 0
        journal = made.journal()
    ids = {id for what, id in journal if what == "accepted"}
    counts, states = asyncio.run(stored(tmp_path / "store.db", ids))
    again = repeated(journal)
    told = f"{KILLS} kills, {len(ids)} calls accepted, {counts.accepted} stored, {again} entered again"
    sys.stdout.write(f"SEED={SEED}: {told}\n")
    assert states == {MessageState.DONE: len(ids)}
    assert len(ids) >= KILLS * CALLS
    assert (counts.done, counts.drift) == (counts.accepted, 0)
    assert again <= KILLS * LANES


def repeated(journal: list[tuple[str, str]]) -> int:
    """How often a function was entered again: for calls that were under way at a kill, never for one that ended."""
    ended: set[str] = set()
    entered: Counter[str] = Counter()
    for what, id in journal:
        if what == "ended":
            assert id not in ended, f"{id} ended twice"
            ended.add(id)
        elif what == "entered":
            assert id not in ended, f"{id} was made again after it had ended"
            entered[id] += 1
    return sum(times - 1 for times in entered.values())
