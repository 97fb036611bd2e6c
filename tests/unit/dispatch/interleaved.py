"""Sites, instances and a pool without sockets or time: whatever comes next is drawn from a seed."""

from __future__ import annotations

import os
import socket
from asyncio import BaseTransport
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

from fnctl.dispatch.admission import Lease
from fnctl.dispatch.reaper import reap
from fnctl.dispatch.site import Site
from fnctl.dispatch.startup import Claim, Loaded, Outcome
from fnctl.engine.fake import FakeEngine
from fnctl.errors import DeadlineExceeded, FnctlError
from fnctl.model import Bundle, Function, RuntimeSpec, Scale, StartKind
from fnctl.pool.pool import Pool
from fnctl.pool.settings import PoolSettings
from fnctl.sandbox.instance import Instance, InstanceOwner
from fnctl.sandbox.intake import Intake
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.loading import Code
from fnctl.sandbox.local import LocalPlace
from fnctl.sandbox.slot import Slot
from fnctl.sandbox.staging import ReadyTrees

NODE = RuntimeSpec("node24", "node", "24.0.0", Path("/nowhere"), ("/opt/agent",))
IDLE_TIMEOUT_S = 5.0


class Wire:
    """A data connection; that it has gone is news that comes later."""

    def __init__(self, world: World, instance: Instance) -> None:
        self.world = world
        self.instance = instance
        self.open = True

    def close(self) -> None:
        if self.open:
            self.open = False
            self.world.lost.append(self)


class Peer:
    """The transport of every connection: its other end is this very user's."""

    def __init__(self) -> None:
        self.ends = socket.socketpair()

    def get_extra_info(self, name: str) -> socket.socket:
        return self.ends[0]

    def close(self) -> None:
        for end in self.ends:
            end.close()


class World:
    """The starter of some sites. Asserts, at each step, what must hold in every order of events.

    A connection carries one request at a time; an instance is one function's; the reaper ends none that is in use;
    and at the end everybody who asked was answered.
    """

    def __init__(self, random: Random, sites: int, pooled: int, reaper: Callable[[Site, float], object] = reap) -> None:
        self.random = random
        self.peer = Peer()
        self.reaper = reaper
        self.now = 0.0
        self.serial = 0
        self.pool = Pool(
            FakeEngine(), cast(Any, None), cast(Any, None), PoolSettings(0, "image", "p", "r"), cast(Any, None)
        )
        self.pool.members = [self.made(State.RUNTIME) for _ in range(pooled)]
        self.sites = [Site(code(f"f{number}"), self, lambda: self.now) for number in range(sites)]
        self.starts: list[tuple[Site, Instance | None, Claim, Callable[[Outcome], None]]] = []
        self.leases: list[Lease] = []
        self.held: set[Wire] = set()
        self.used: dict[Instance, int] = {}  # requests in each, as the world counts them
        self.lost: list[Wire] = []
        self.owner: dict[Instance, Site] = {}
        self.asked = self.answered = self.reaped = 0

    def made(self, state: State) -> Instance:
        self.serial += 1
        slot = Slot(f"i{self.serial}", os.getuid(), Path("/nowhere"))
        place = LocalPlace(
            slot, ReadyTrees(Path("/nowhere")), Intake(), lambda pid: None, lambda slot, on_network: None
        )
        instance = Instance(place, cast(Any, None), cast(Any, None), self.ended, clock=lambda: self.now)
        instance.life.state, instance.agent.runtime = state, NODE.name
        return instance

    # -- the starter -----------------------------------------------------------------------------------------------

    def take(self, code: Code) -> Instance | None:
        return self.pool.take(code)

    def start(
        self, code: Code, taken: Instance | None, owner: InstanceOwner, claim: Claim, tell: Callable[[Outcome], None]
    ) -> None:
        site = cast(Site, owner)
        if taken is not None:
            assert taken not in self.owner, "taken from the pool twice"
            self.owner[taken] = site
        self.starts.append((site, taken, claim, tell))

    def ended(self, instance: Instance) -> None:
        if instance.death is Death.REAPED:
            self.reaped += 1
            assert not self.used.get(instance), "reaped while in use"

    # -- what may happen -------------------------------------------------------------------------------------------

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.35:
            self.request(self.random.choice(self.sites))
        elif choice < 0.65:
            self.release()
        elif choice < 0.75:
            self.come_up()
        elif choice < 0.85:
            self.connect()
        elif choice < 0.90:
            self.hear_of_loss()
        elif choice < 0.98:
            self.reap()
        else:
            self.die()

    def request(self, site: Site) -> None:
        self.asked += 1
        lease = site.take()
        if lease is not None:
            self.got(site, lease)
        elif len(site.waiters) < 20:
            site.enqueue(lambda outcome: self.got(site, outcome))
        else:
            self.asked -= 1

    def got(self, site: Site, outcome: Lease | FnctlError) -> None:
        self.answered += 1
        assert not isinstance(outcome, FnctlError)
        wire = cast(Wire, outcome.connection)
        assert wire not in self.held, "two requests on one connection"
        assert wire.instance.state is State.BUSY
        assert self.owner[wire.instance] is site, "the instance of another function"
        self.held.add(wire)
        self.used[wire.instance] = self.used.get(wire.instance, 0) + 1
        self.leases.append(outcome)

    def release(self) -> None:
        if not self.leases:
            return
        lease = self.leases.pop(self.random.randrange(len(self.leases)))
        wire = cast(Wire, lease.connection)
        self.held.discard(wire)
        self.used[wire.instance] -= 1
        late = DeadlineExceeded("late") if self.random.random() < 0.05 else None
        lease.release(reusable=wire.open and late is None and self.random.random() < 0.9, error=late)

    def come_up(self) -> None:
        if not self.starts:
            return
        site, taken, claim, tell = self.starts.pop(self.random.randrange(len(self.starts)))
        instance = taken or self.made(State.RUNTIME)
        self.owner[instance] = site
        claim(instance, StartKind.RUNTIME)
        instance.accept(site.code)
        instance.serving.loading()
        instance.life.state, instance.serving.idle_since = State.IDLE, self.now
        tell(Loaded(site.code, instance))

    def connect(self) -> None:
        """One of the connections that an instance was asked to open is there; it may drain by now."""
        every = [
            one for site in self.sites for one in site.instances if one.serving.dialling or one.state is State.DRAINING
        ]
        if every:
            instance = min(every, key=lambda one: (self.random.random(), one.id))
            instance.serving.data_connected(Wire(self, instance), cast(BaseTransport, self.peer))

    def hear_of_loss(self) -> None:
        for _ in range(min(5, len(self.lost))):  # on average as many as there are
            wire = self.lost.pop(self.random.randrange(len(self.lost)))
            wire.instance.serving.data_lost(wire)

    def reap(self) -> None:
        self.now += self.random.random() * 3 * IDLE_TIMEOUT_S
        for site in self.sites:
            self.reaper(site, self.now)

    def die(self) -> None:
        site = self.random.choice(self.sites)
        if site.instances:
            min(site.instances, key=lambda one: one.id).end(Death.LOST)

    def finish(self) -> None:
        """Everything that is on its way arrives; then the books must balance."""
        for _ in range(10_000):
            if self.asked == self.answered and not (self.leases or self.starts):
                break
            self.now += 1.0
            for act in (self.come_up, self.connect, self.hear_of_loss, self.release):
                act()
            for site in self.sites:
                site.grow()
        assert self.asked == self.answered, "somebody waits for ever"
        for site in self.sites:
            for instance in site.instances:
                assert instance.serving.in_flight == self.used.get(instance, 0) == 0
                assert instance.state in (State.IDLE, State.ASLEEP, State.DRAINING)

    def close(self) -> None:
        self.peer.close()
        for site in self.sites:
            site.close()


def code(name: str) -> Code:
    function = Function(
        name,
        Path("/nowhere"),
        "node24",
        "index.js",
        concurrency=4,
        idle_timeout_s=IDLE_TIMEOUT_S,
        keep_s=IDLE_TIMEOUT_S if name == "f1" else 0.0,  # some fall asleep first
        scale=Scale(0, 2),
    )
    return Code(function, Bundle(name, f"sha256:{name}", Path("/nowhere"), "node24", "index.js", 1, 1), NODE)
