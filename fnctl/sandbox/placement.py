"""Where sandboxes live, as pool, scheduler and instance see it: the ports. This host's file system, sockets and cgroups
are one implementation (local.py); an engine elsewhere needs another, and nothing else changes. Types only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from fnctl.errors import ProtocolError
from fnctl.model import Bundle, Reach


class Usage(Protocol):
    """What one sandbox uses, as the kernel counts it. Once it has ended, each reading stays at its last value."""

    def memory_mb(self) -> float: ...

    def peak_memory_mb(self) -> float | None:
        """The highest since the sandbox was made; None where the kernel does not tell."""
        ...

    def cpu_ms(self) -> float: ...

    def oom_kills(self) -> int:
        """Processes that were killed in it because its memory was used up."""
        ...

    def processes(self) -> int:
        """How many there are in it now; 0 once it is gone."""
        ...

    def close(self) -> None: ...


class LinkOwner(Protocol):
    """Who is told what the sandbox says. All calls on the event loop's thread."""

    def said(self, role: str, message: Mapping[str, Any]) -> None:
        """A well-formed line came from `supervisor` or `agent`. Raising ProtocolError counts as a breach."""
        ...

    def hung_up(self, role: str) -> None:
        """That connection ended."""
        ...

    def breach(self, error: ProtocolError) -> None:
        """The sandbox broke the protocol; nothing more is read from it."""
        ...

    def logged(self, invocation: str | None, text: str) -> None: ...

    def carries(self, invocation: str, printer: tuple[int, int]) -> bool:
        """Whether what was printed there (output.Printer) can be of this invocation."""
        ...


class Link(Protocol):
    """The host's end of the sandbox protocol: one supervisor, and one agent a boot. `open` before the sandbox is made,
    `close` when it is gone. What is sent where nobody is connected is dropped."""

    async def open(self) -> None:
        """Wait for the sandbox's connections. OSError where that cannot be."""
        ...

    def boot(self, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        """From here on, and once, an agent may connect. The last one's connection is closed."""
        ...

    def kill(self) -> None: ...

    def load(self, message: Mapping[str, Any]) -> None: ...

    def read_ahead(self) -> None: ...

    def dial(self, count: int) -> None: ...

    def sleep(self) -> None: ...

    def refused(self) -> None:
        """A data connection was turned away. Who opens such without end breaks the protocol (LinkOwner.breach)."""
        ...

    def stop(self) -> None: ...

    @property
    def behind(self) -> bool:
        """More was printed than is to be read now: what prints there waits for us."""
        ...

    @property
    def unread(self) -> bool:
        """Something was printed that is not read to its end."""
        ...

    def close(self) -> None:
        """End every connection. The sandbox sees end of file and ends."""
        ...


class Place(Protocol):
    """What one sandbox gets, from `Placement.acquire` until `remove` and `Placement.release`.

    `put`, `put_cache` and `give` are seen inside whole or not at all, and block; so do `usage` and `remove`.
    """

    @property
    def id(self) -> str: ...

    @property
    def uid(self) -> int:
        """The only user inside."""
        ...

    def mounts(self, reach: Reach) -> tuple[tuple[str, str, bool], ...]:
        """What the engine is to mount (SandboxSpec.mounts) in a sandbox of this reach."""
        ...

    def link(self, owner: LinkOwner, data: Callable[[], asyncio.Protocol]) -> Link:
        """The host's end of the protocol, not open yet; called once. `data` gives each data connection its protocol."""
        ...

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        """Whether who has made this data connection is the sandbox's own user."""
        ...

    def is_agents(self, transport: asyncio.BaseTransport) -> bool:
        """Whether the agent's own process has made it, and none that it started. True where that cannot be told."""
        ...

    def put_ready(self, bundle: Bundle) -> bool:
        """Place a copy of the code that was made ahead, without blocking. False: there is none, so `put` it."""
        ...

    def put(self, bundle: Bundle) -> None:
        """Place the code."""
        ...

    def put_cache(self, bundle: Bundle) -> None:
        """Place the bundle's cache alone, before any of its code."""
        ...

    def give(self, secrets: Mapping[str, bytes]) -> None:
        """Place secrets, by name, for the sandbox's user alone."""
        ...

    def listen(self) -> socket.socket | None:
        """Where code inside finds the functions of its project: a socket that listens on the sandbox's own loopback,
        at port 80. Blocking; once the supervisor has said hello. None where that cannot be had from here."""
        ...

    def limit(self, memory_mb: int | None, cpus: float | None) -> bool:
        """Set these limits of the sandbox now, without the engine and without blocking. False: the engine is to."""
        ...

    def usage(self) -> Usage | None:
        """Once the supervisor has said hello. None where it cannot be read from here."""
        ...

    def remove(self) -> None:
        """Nothing of it is left, secrets included. The sandbox is gone by then, or cannot be reached any more."""
        ...


class Placement(Protocol):
    """The places of one run. `acquire` and `release` on the event loop's thread; the others block."""

    def acquire(self) -> Place:
        """A place nobody has. OSError where there is no room, NoCapacity where there are no users left."""
        ...

    def release(self, place: Place) -> None:
        """Its user may be given to another. `remove` comes first."""
        ...

    def name(self, services: Mapping[str, str | None]) -> None:
        """Every sandbox that is on a network finds these services by name from now on, running ones too; those without
        an address refuse at once. On the event loop's thread."""
        ...

    def name_functions(self, names: Iterable[str]) -> None:
        """Every sandbox finds these functions by name on its own loopback from now on. As `name` otherwise."""
        ...

    def make_ready(self, bundle: Bundle) -> None:
        """Have a copy of the code ready for the next `put_ready`."""
        ...

    def forget(self, bundle: Bundle) -> None:
        """No further place gets this bundle."""
        ...

    def sweep(self) -> None:
        """Remove what a run left that was killed. Before the first `acquire`."""
        ...

    def clear(self) -> None:
        """Remove what was made ready. After the last `remove`."""
        ...
