"""What every broker's adapter gives: messages as they come, each with a way to say that it is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fnctl.errors import ConfigError, FnctlError

AT_ONCE = 64  # messages that are taken and not yet kept, of one trigger


class BrokerLost(FnctlError):
    """The broker cannot be reached, or has ended the connection."""

    code = "broker"


class NoLibrary(ConfigError):
    """The library that speaks to the broker is not installed."""

    def __init__(self, broker: str, package: str, extra: str = "brokers") -> None:
        super().__init__(
            f"a trigger `{broker}` needs the Python package {package}, which is not installed",
            hint=f"pip install 'fnctl[{extra}]'",
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """A message of a broker. `word`: the same for the same message, where the broker may bring it twice and says so."""

    id: str
    data: bytes
    subject: str
    content_type: str | None
    word: str | None
    kept: Callable[[], Awaitable[None]]  # say to the broker that it need not bring it again; raises BrokerLost


class Source(Protocol):
    """One trigger's connection."""

    def batches(self) -> AsyncGenerator[Sequence[Taken], None]:
        """Connect, and wait for messages, up to AT_ONCE at a time; the next come when these are kept. Ends with
        BrokerLost; closing it ends the connection."""
        ...
