"""What a run asks of its surroundings, and in which words. The one seam between the language and the platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fnctl.clock import Clock
from fnctl.openworkflow.definition import Identity


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt at one step of one run: the same three words are never acted on twice."""

    run: str
    key: str
    attempt: int

    @property
    def word(self) -> str:
        """For who wants to know a repeated attempt: the same in each attempt."""
        return f"{self.run}{self.key}"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """`headers`: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Process:
    """What is to run in a container. `kind`: container, script or shell; `what`: its image, language or command."""

    kind: str
    what: str
    command: str | None = None  # of a container
    code: str | None = None  # of a script
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    name: str | None = None
    pull: str = "ifNotPresent"


@dataclass(frozen=True, slots=True)
class ProcessResult:
    code: int
    stdout: str
    stderr: str


class Awaited(Protocol):
    """Somebody who waits to be told, once."""

    def wake(self, result: Any = None) -> None: ...

    def fail(self, error: Exception) -> None: ...


class World(Protocol):
    """Where something fails as the specification knows failures, a Fault is raised. Everything else that is raised ends
    the run's stay in memory, and it is taken up again later from its log."""

    @property
    def clock(self) -> Clock: ...

    def random(self) -> float:
        """From 0 to 1."""
        ...

    def new_id(self) -> str: ...

    def secret(self, name: str) -> Any:
        """Raises Fault (authorization) where there is none."""
        ...

    async def function(self, step: Step, name: str, arguments: Any) -> Any:
        """Call a function of the project with JSON; its JSON."""
        ...

    async def http(self, step: Step, request: HttpRequest) -> HttpResponse:
        """Whatever the answer's status. Follows no redirect."""
        ...

    async def process(self, step: Step, process: Process, awaited: bool) -> ProcessResult | None:
        """None, at once, where its end is not awaited."""
        ...

    async def publish(self, step: Step, event: Mapping[str, Any]) -> None:
        """On the project's bus. Published again, it is the same event: its id tells."""
        ...

    async def child(self, step: Step, identity: Identity, input: Any, waits: Awaited | None) -> None:
        """Begin a run of another workflow, or find the one that an earlier attempt began. `waits` hears its end."""
        ...


class Log(Protocol):
    """Of one run."""

    async def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """On disk when this returns, all of them or none, and only where nobody else has appended meanwhile."""
        ...
