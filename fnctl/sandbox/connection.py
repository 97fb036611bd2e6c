"""A data connection and the instance that it belongs to, as each sees the other. Types only."""

from __future__ import annotations

import asyncio
from asyncio import BaseTransport
from collections.abc import Callable
from typing import Protocol

from fnctl.model import Function


class DataOwner(Protocol):
    """The instance that a data connection belongs to; told by the connection what happens to it."""

    def data_connected(self, connection: DataConnection, transport: BaseTransport) -> None:
        """A connection was accepted. The owner may close it at once (wrong peer, one too many)."""
        ...

    def data_lost(self, connection: DataConnection) -> None:
        """The connection ended, leased or not. Called once."""
        ...


class DataConnection(Protocol):
    """One HTTP/1.1 connection that an agent dialled; the host is the client on it."""

    def close(self) -> None:
        """End it at once; `data_lost` follows."""
        ...


class SharingConnection(DataConnection, Protocol):
    """A data connection of an agent that takes requests in frames, too."""

    def share(self) -> SharedConnection:
        """The agent has dialled it for the requests of all: it is no data connection any more."""
        ...

    def join(self, shared: SharedConnection) -> None:
        """Send on that one what can be sent there."""
        ...


class SharedConnection(Protocol):
    """What data connections of one instance send on, all of them."""

    def close(self) -> None: ...


DataFactory = Callable[[DataOwner], asyncio.Protocol]


class Sandboxed(Protocol):
    """An instance, as the address inside it sees it: who calls there."""

    @property
    def id(self) -> str: ...

    @property
    def function(self) -> Function | None:
        """None: it has no code yet."""
        ...


CallFactory = Callable[[Sandboxed], Callable[[], asyncio.Protocol]]  # for the connections that code in it makes
