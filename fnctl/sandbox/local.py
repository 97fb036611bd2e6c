"""Sandboxes of an engine on this host: slots on its file system, unix sockets in them, the kernel's cgroups."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from fnctl.engine.cgroup import Cgroup
from fnctl.engine.limits import set_limits
from fnctl.model import DERIVED, INSIDE, INSIDE_ALIBABA, Bundle, Network, Reach
from fnctl.sandbox.intake import Intake
from fnctl.sandbox.link import SocketLink, peer_uid
from fnctl.sandbox.loopback import listen_inside
from fnctl.sandbox.placement import Link, LinkOwner, Place, Placement
from fnctl.sandbox.slot import Slot, Slots
from fnctl.sandbox.staging import ReadyTrees

LOOPBACK, HTTP_PORT = "127.0.0.1", 80


class LimitOf(Protocol):
    """Sets limits of the sandbox of this process; False where that cannot be from here."""

    def __call__(self, pid: int, *, memory_mb: int | None, cpus: float | None) -> bool: ...


class LocalPlace(Place):
    def __init__(
        self,
        slot: Slot,
        trees: ReadyTrees,
        intake: Intake,
        cgroup_of: Callable[[int], Cgroup | None],
        named: Callable[[Slot, bool], None],
        limit_of: LimitOf = set_limits,
    ) -> None:
        """`named` writes down the names that its sandbox finds: of functions, and (True) of services."""
        self._limit_of = limit_of
        self.slot = slot
        self._named = named
        self._trees = trees
        self._intake = intake
        self._cgroup_of = cgroup_of
        self._link: SocketLink | None = None

    @property
    def id(self) -> str:
        return self.slot.id

    @property
    def uid(self) -> int:
        return self.slot.uid

    def mounts(self, reach: Reach) -> tuple[tuple[str, str, bool], ...]:
        self._named(self.slot, reach.network is not Network.NONE)
        users = ((str(file), inside, True) for file, inside in self.slot.users)
        return (str(self.slot.folder), "/fn", True), *users, (str(self.slot.hosts), "/etc/hosts", True)

    def link(self, owner: LinkOwner, data: Callable[[], asyncio.Protocol]) -> Link:
        self._link = SocketLink(self.slot.folder, self.slot.uid, owner, data, self._intake.share())
        return self._link

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        return peer_uid(transport) == self.slot.uid

    def is_agents(self, transport: asyncio.BaseTransport) -> bool:
        return self._link is not None and self._link.is_agent(transport)

    def put_ready(self, bundle: Bundle) -> bool:
        staged = self._trees.take(bundle)
        if staged is not None:
            self.slot.place(staged)
        return staged is not None

    def put(self, bundle: Bundle) -> None:
        self.slot.place(self._trees.make(bundle))

    def put_cache(self, bundle: Bundle) -> None:
        self.slot.place_ahead(bundle.root / DERIVED)

    def give(self, secrets: Mapping[str, bytes]) -> None:
        self.slot.give(secrets)

    def listen(self) -> socket.socket | None:
        pid = self._link.pid if self._link is not None else 0
        try:
            return listen_inside(pid, LOOPBACK, HTTP_PORT) if pid else None
        except OSError:  # this process may not, or the sandbox is on its way out
            return None

    def limit(self, memory_mb: int | None, cpus: float | None) -> bool:
        pid = self._link.pid if self._link is not None else 0
        return bool(pid) and self._limit_of(pid, memory_mb=memory_mb, cpus=cpus)

    def usage(self) -> Cgroup | None:
        """By the supervisor's pid, as the socket tells it: 0 where its process is not one of this machine."""
        pid = self._link.pid if self._link is not None else 0
        return self._cgroup_of(pid) if pid else None

    def remove(self) -> None:
        self.slot.remove()


class LocalPlacement(Placement):
    def __init__(
        self,
        root: Path,
        run: str,
        claim: Callable[[], Iterable[int]],
        cgroup_of: Callable[[int], Cgroup | None] = Cgroup.of,
        limit_of: LimitOf = set_limits,
    ) -> None:
        """`root`: a folder that other users cannot pass, on the file system of the bundles. `claim` gives further user
        ids (Slots)."""
        self._root = root
        self._slots = Slots(root, run, claim)
        self._trees = ReadyTrees(root / "staged")
        self.intake = Intake()
        self._cgroup_of = cgroup_of
        self._limit_of = limit_of
        self._services: Mapping[str, str | None] = {}
        self._functions: Mapping[str, str] = {}
        self._named: dict[str, tuple[Slot, bool]] = {}  # whether its sandbox finds services

    def acquire(self) -> LocalPlace:
        return LocalPlace(self._slots.acquire(), self._trees, self.intake, self._cgroup_of, self._name, self._limit_of)

    def release(self, place: Place) -> None:
        assert isinstance(place, LocalPlace)
        self._named.pop(place.slot.id, None)
        self._slots.release(place.slot)

    def name(self, services: Mapping[str, str | None]) -> None:
        self._services = dict(services)
        self._write_names()

    def name_functions(self, names: Iterable[str]) -> None:
        self._functions = dict.fromkeys((INSIDE, *INSIDE_ALIBABA, *(f"{name}.{INSIDE}" for name in names)), LOOPBACK)
        self._write_names()

    def _write_names(self) -> None:
        for slot, on_network in self._named.values():
            with contextlib.suppress(OSError):  # it is on its way out
                self._name(slot, on_network)

    def _name(self, slot: Slot, on_network: bool) -> None:
        self._named[slot.id] = slot, on_network
        slot.name({**self._functions, **(self._services if on_network else {})})

    def make_ready(self, bundle: Bundle) -> None:
        self._trees.fill(bundle, 1)

    def forget(self, bundle: Bundle) -> None:
        self._trees.forget(bundle)

    def sweep(self) -> None:
        for folder in self._root.iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        self._trees.clear()
