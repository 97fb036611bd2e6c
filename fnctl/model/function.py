"""A function as `fnctl.yaml` declares it, with every default filled in."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from fnctl.model.contract import Contract
from fnctl.model.queue import Destination, Rate
from fnctl.model.reach import NO_MORE, Egress, Network, Reach
from fnctl.model.secret import Secret
from fnctl.model.trigger import (
    BrokerTrigger,
    EventTrigger,
    HttpTrigger,
    QueueTrigger,
    TimerTrigger,
    Trigger,
    TriggerKind,
)


class Model(enum.StrEnum):
    """The process model of a function."""

    EPHEMERAL = "ephemeral"
    RESIDENT = "resident"


class Isolation(enum.StrEnum):
    """What one ephemeral invocation is kept apart from the next by."""

    PROCESS = "process"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class Scale:
    min: int = 0
    max: int = 10


class Auth(enum.StrEnum):
    """What a caller of a function must show at the gateway."""

    NONE = "none"
    KEY = "key"
    HMAC = "hmac"
    JWT = "jwt"


@dataclass(frozen=True, slots=True)
class JwtRule:
    """Whose tokens are believed. `jwks`: a file of public keys (RFC 7517); `issuer`, `audience`: None: any."""

    jwks: Path
    issuer: str | None = None
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class AsyncRule:
    """How a function's deferred calls are made: those that are accepted now and answered to nobody."""

    retries: int = 2  # further attempts, after the first
    backoff_s: float = 1.0  # before the second attempt; twice as long before each one after
    max_age_s: float = 21_600.0  # not begun later than this after it was due
    concurrency: int = 10  # calls at once
    backlog: int = 100_000  # calls that wait, past which 429
    rate: Rate | None = None  # of all that is made later: calls, and batches of queues; None: as fast as it goes
    on_success: Destination | None = None
    on_failure: Destination | None = None


@dataclass(frozen=True, slots=True)
class DurableRule:
    """Executions of a durable function."""

    timeout_s: float = 31_536_000.0  # of a whole execution, whatever it waits for: a year
    keep_s: float = 1_209_600.0  # after its end: 14 days


@dataclass(frozen=True, slots=True)
class Function:
    """The deployable unit, validated, with every default filled in."""

    name: str
    path: Path  # the folder of its code, absolute
    runtime: str  # "node24", "python3.13"
    handler: str  # "index.js" (run as the main program) or "module.attr" (a callable); "" where there is a command
    command: tuple[str, ...] = ()  # a program that listens on $PORT, with its arguments
    contract: Contract | None = None  # None: the agent tells an app from an event handler by what it finds
    payload: str = ""  # the format of a request's event, where the contract has several: "1.0" or "2.0"
    initializer: str | None = None  # `module.attr`, called once before the first invocation, where the contract has one
    warmup: str = ""  # the path of a GET that its code answers before it is offered, as the end of its load
    health: str = ""  # the path of a GET that a new version answers before it takes over
    model: Model = Model.RESIDENT
    isolation: Isolation = Isolation.PROCESS
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[Secret, ...] = ()
    private: tuple[str, ...] = ()  # files of its folder that hold what no bundle may: secrets and environment files
    timeout_s: float = 30.0  # until the answer begins
    idle_s: float = 300.0  # of silence, once it has begun
    max_duration_s: float | None = None  # of the whole answer
    memory_mb: int = 256
    tmp_mb: int = 64  # of /tmp, at least; counts as memory
    cpus: float | None = None
    concurrency: int = 64  # requests at a time in one instance; always 1 where ephemeral
    max_body_mb: int | None = None  # of a request's body; None: what the gateway takes of all
    queue: int = 1000  # waiting invocations, past which 429
    scale: Scale = Scale()
    idle_timeout_s: float = 60.0
    keep_s: float = 600.0  # asleep after that: loaded, and ended where its memory is needed; 0: ended at once
    stop_grace_s: float = 5.0  # from SIGTERM to SIGKILL, of a resident program that is not needed any more
    network: Network = Network.NONE
    egress: Egress = NO_MORE  # with Network.EGRESS alone
    triggers: tuple[Trigger, ...] = ()
    auth: Auth = Auth.NONE
    jwt: JwtRule | None = None  # with Auth.JWT alone
    deferred: AsyncRule = AsyncRule()
    durable: DurableRule | None = None  # None: its calls are made, and forgotten
    owns_prefix: bool = False  # its code has routes of its own below /NAME, where it is the only function
    calls: tuple[str, ...] | None = None  # the functions that it may call; None: all of the project

    @property
    def reach(self) -> Reach:
        return Reach(self.network, self.egress)

    @property
    def longest_s(self) -> float | None:
        """How long a whole answer may take; None: there is no bound."""
        ephemeral = self.model is Model.EPHEMERAL
        return self.timeout_s if self.max_duration_s is None and ephemeral else self.max_duration_s

    @property
    def routes(self) -> tuple[HttpTrigger, ...]:
        return tuple(trigger for trigger in self.triggers if trigger.kind is TriggerKind.HTTP)

    @property
    def timers(self) -> tuple[TimerTrigger, ...]:
        return tuple(trigger for trigger in self.triggers if trigger.kind is TriggerKind.TIMER)

    @property
    def events(self) -> tuple[EventTrigger, ...]:
        return tuple(trigger for trigger in self.triggers if trigger.kind is TriggerKind.EVENT)

    @property
    def queues(self) -> tuple[QueueTrigger, ...]:
        return tuple(trigger for trigger in self.triggers if trigger.kind is TriggerKind.QUEUE)

    @property
    def brokers(self) -> tuple[BrokerTrigger, ...]:
        return tuple(trigger for trigger in self.triggers if trigger.kind is TriggerKind.BROKER)
