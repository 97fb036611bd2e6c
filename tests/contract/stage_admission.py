"""The whole of a scheduler that the gateway's stage needs: it leases free connections, queues in bounds, and remembers
what became of each lease."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from fnctl.dispatch.admission import Lease, WarmCall
from fnctl.dispatch.receipts import served_receipt
from fnctl.errors import FnctlError, FunctionError, NotFound, QueueFull
from fnctl.model import Function, Receipt, SiteKey, StartKind
from fnctl.sandbox.connection import DataConnection, SharedConnection, SharingConnection


@dataclass(eq=False)
class StageLease:
    site: Site
    connection: DataConnection
    function: str
    instance: str = "i-1"
    version: str = "0123456789ab"
    start: StartKind = StartKind.WARM
    plain: bool = True
    queue_ms: float = 0.0
    container_ms: float = 0.0
    runtime_ms: float = 0.0
    load_ms: float = 0.0
    alone: bool = False
    released: list[tuple[bool, FnctlError | None]] = field(default_factory=list)

    def carry(self, invocation: str) -> None: ...

    def overhear(self, invocation: str, heard: Callable[[str], None] | None) -> None:
        if heard is None:
            self.site.printed.pop(invocation, None)
        else:
            self.site.printed[invocation] = heard

    @property
    def unread(self) -> bool:
        return self.site.unread

    def release(self, *, reusable: bool, error: FnctlError | None = None) -> None:
        assert not self.released, "a lease is released once"
        self.released.append((reusable, error))
        self.site.released(self)

    def failure(self, answered: Callable[[FnctlError], None]) -> None:
        assert not self.released
        error = FunctionError(f"{self.function} was killed: out of memory", code="oom")
        asyncio.get_running_loop().call_soon(answered, error)


@dataclass(eq=False)
class StageWaiter:
    site: Site
    ready: Callable[[Lease | FnctlError], None]
    for_a_start: bool = False

    def cancel(self) -> None:
        self.site.cancelled += 1
        self.site.waiters.remove(self)


@dataclass(eq=False)
class Site:
    """One function's connections. A `DataOwner`."""

    function: Function
    free: deque[DataConnection] = field(default_factory=deque)
    waiters: deque[StageWaiter] = field(default_factory=deque)
    leases: list[StageLease] = field(default_factory=list)
    cancelled: int = 0
    printed: dict[str, Callable[[str], None]] = field(default_factory=dict)  # who hears what an invocation prints
    unread: bool = False
    shares: bool = False  # the next connection is for all requests
    shared: SharedConnection | None = None
    lost: Callable[[], None] = lambda: None  # told of each connection that ends

    def data_connected(self, connection: DataConnection, transport: asyncio.BaseTransport) -> None:
        if self.shares:
            self.shares, self.shared = False, cast(SharingConnection, connection).share()
            return
        if self.shared is not None:
            cast(SharingConnection, connection).join(self.shared)
        self.free.append(connection)
        self._serve()

    def data_lost(self, connection: DataConnection) -> None:
        self.lost()
        with contextlib.suppress(ValueError):
            self.free.remove(connection)

    def take(self) -> StageLease | None:
        if not self.free:
            return None
        lease = StageLease(self, self.free.pop(), self.function.name)
        self.leases.append(lease)
        return lease

    def released(self, lease: StageLease) -> None:
        reusable, _ = lease.released[0]
        if reusable:
            self.free.append(lease.connection)
            self._serve()
        else:
            lease.connection.close()

    def _serve(self) -> None:
        while self.free and self.waiters:
            lease = self.take()
            assert lease is not None
            self.waiters.popleft().ready(lease)


class StageAdmission:
    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}

    def try_acquire(self, site: SiteKey) -> StageLease | None:
        return self._site(site.function).take()

    def enqueue(self, key: SiteKey, ready: Callable[[Lease | FnctlError], None]) -> StageWaiter:
        site = self._site(key.function)
        if len(site.waiters) >= site.function.queue:
            raise QueueFull(f"the queue of {key.function} is full", retry_after_s=1)
        waiter = StageWaiter(site, ready)
        site.waiters.append(waiter)
        return waiter

    def _site(self, function: str) -> Site:
        if function not in self.sites:
            raise NotFound(f"no function named {function}")
        return self.sites[function]


class StageLedger:
    """Keeps every receipt."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []

    def receipt(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    def warm(self, lease: Lease, call: WarmCall) -> None:
        invocation, at, handler_s, total_s, (method, target, status) = call
        times = handler_s * 1000, total_s * 1000
        asked = method.decode(), target.decode("latin-1")
        self.receipts.append(served_receipt(invocation, lease, status, "ok", at, *times, *asked, None))
