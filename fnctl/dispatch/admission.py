"""The port between whoever has an invocation (a trigger) and whoever has instances (the scheduler). Types only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fnctl.errors import FnctlError
from fnctl.model import Receipt, SiteKey, StartKind
from fnctl.sandbox.connection import DataConnection

# A warm invocation that waited for nothing and ended well, as the hot path leaves it: its id, wall clock in seconds
# when its head was read, seconds in the handler and in all, and (method, target, status). A tuple: there are thousands
# a second, and most of what a receipt says is the same for all of an instance's.
WarmCall = tuple[str, float, float, float, tuple[bytes, bytes, int]]


class Lease(Protocol):
    """The right to send one request on one connection. Ended by `release`, once."""

    connection: DataConnection
    instance: str  # the instance's id
    function: str
    version: str
    start: StartKind
    plain: bool  # warm, and it waited for nothing
    queue_ms: float
    container_ms: float
    runtime_ms: float
    load_ms: float

    @property
    def alone(self) -> bool:
        """Whether its instance has no other invocation at the moment."""
        ...

    def carry(self, invocation: str) -> None:
        """What is about to be sent on it is this invocation: what it prints is marked so."""
        ...

    def overhear(self, invocation: str, heard: Callable[[str], None] | None) -> None:
        """Tell each line that this invocation prints, too; None: no more."""
        ...

    @property
    def unread(self) -> bool:
        """Whether its instance has printed what is not all read yet. Also after `release`."""
        ...

    def release(self, *, reusable: bool, error: FnctlError | None = None) -> None:
        """Give it back. `reusable`: the response ended cleanly and the connection may carry another request.

        Not reusable with an error of code `timeout` (the function's deadline): the instance takes no further request,
        and is killed when its other requests have ended. Not reusable without an error: the client went away; the
        connection is closed, a resident instance lives on, an ephemeral one is cleaned.
        """
        ...

    def failure(self, answered: Callable[[FnctlError], None]) -> None:
        """Why did the connection end before the response did? Calls back within 500 ms.

        The answer is a FunctionError (crash, oom, bad_response), or an EngineError where the engine took the sandbox
        away. Call it before `release`.
        """
        ...


class Ledger(Protocol):
    """Where every invocation is written down when it has ended, once. Neither call blocks or raises."""

    def receipt(self, receipt: Receipt) -> None: ...

    def warm(self, lease: Lease, call: WarmCall) -> None:
        """One on a `plain` lease that ended well: the same as its receipt."""
        ...


class Waiter(Protocol):
    @property
    def for_a_start(self) -> bool:
        """Whether no instance is loaded yet, and one is being started."""
        ...

    def cancel(self) -> None:
        """The request is gone (client left, deadline): leave the queue. The callback is not called after that."""
        ...


class Admission(Protocol):
    """The scheduler, as the gateway sees it. All calls on the event loop's thread."""

    def try_acquire(self, site: SiteKey) -> Lease | None:
        """A lease at once, where a loaded instance has room: the warm path, no await. NotFound for an unknown site."""
        ...

    def enqueue(self, site: SiteKey, ready: Callable[[Lease | FnctlError], None]) -> Waiter:
        """Wait in the site's bounded queue. `ready` is called once, with a lease or with why there is none
        (NoCapacity, LoadError, BuildError, DeadlineExceeded load_timeout). QueueFull is raised at once."""
        ...
