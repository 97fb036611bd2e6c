"""Slow clients are read in turns: few at once however many there are, and each within a second."""

from __future__ import annotations

import asyncio

from fnctl.triggers.http.slowlane import AT_ONCE, TURNS, SlowLane
from tests.support.turning import until


class Client:
    def __init__(self) -> None:
        self.held = False
        self.turns = 0

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False
        self.turns += 1


def test_each_has_its_turn_and_few_at_once() -> None:
    async def scene() -> None:
        lane, clients = SlowLane(), [Client() for _ in range(10 * AT_ONCE)]
        for client in clients:
            lane.join(client)
            lane.join(client)  # which it may say again
        most = 0

        def all_twice() -> bool:
            nonlocal most
            most = max(most, sum(not client.held for client in clients))
            return all(client.turns >= 2 for client in clients)

        await until(all_twice)
        assert most == AT_ONCE
        assert max(client.turns for client in clients) <= 3

    asyncio.run(scene())


def test_of_very_many_a_hundredth() -> None:
    async def scene() -> None:
        lane, clients = SlowLane(), [Client() for _ in range(50 * TURNS)]
        for client in clients:
            lane.join(client)
        await until(lambda: any(client.turns for client in clients))
        assert sum(not client.held for client in clients) == 50

    asyncio.run(scene())


def test_who_leaves_is_read_as_before() -> None:
    async def scene() -> None:
        lane, clients = SlowLane(), [Client() for _ in range(3)]
        for client in clients:
            lane.join(client)
        lane.leave(clients[0])
        lane.leave(clients[0])
        assert not clients[0].held
        await until(lambda: clients[1].turns > 2)
        assert clients[0].turns == 1
        for client in clients:
            lane.leave(client)
        assert len(lane) == 0
        assert not any(client.held for client in clients)
        lane.join(clients[0])  # the timer has ended with the last, or goes on
        await until(lambda: clients[0].turns > 3)

    asyncio.run(scene())
