"""Requests, starts, ends and the reaper in any order: seeded, so that a failure names the history that made it."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from random import Random

import pytest

from fnctl.dispatch.site import Site
from fnctl.sandbox.lifecycle import Death
from tests.unit.dispatch.interleaved import IDLE_TIMEOUT_S, World

# `make faults` plays five times as many of both.
STEPS = int(os.environ.get("STEPS", "200000"))
HISTORIES = STEPS // 100


def play(world: World, steps: int) -> World:
    async def history() -> None:
        with closing(world):
            for _ in range(steps):
                world.step()
            world.finish()

    asyncio.run(history())
    return world


def test_one_pooled_instance_is_given_to_one_of_two_requests() -> None:
    async def histories() -> None:
        for seed in range(HISTORIES):
            with closing(World(Random(seed), sites=2, pooled=1)) as world:
                for site in world.sites:
                    world.request(site)
                for _ in range(10):
                    world.step()
                world.finish()

    asyncio.run(histories())


def test_the_reaper_never_ends_what_is_in_use() -> None:
    world = play(World(Random(49), sites=3, pooled=0), STEPS)
    assert world.reaped > STEPS / 2000, "the reaper had something to do"
    assert world.answered > STEPS / 10


def reap_without_a_look(site: Site, now: float) -> None:
    """The reaper with its guard removed: it does not ask whether an instance is in use."""
    for instance in list(site.instances):
        if now - instance.serving.idle_since >= IDLE_TIMEOUT_S:
            instance.end(Death.REAPED)


def test_without_its_guard_the_same_histories_catch_it() -> None:
    with pytest.raises(AssertionError, match="reaped while in use"):
        play(World(Random(49), sites=3, pooled=0, reaper=reap_without_a_look), 10_000)
