"""The nouns of fnctl as frozen values. No behaviour beyond what a value says of itself; imports nothing of ours."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

DERIVED = ".fnctl/compile-cache"  # in a bundle: what its build made for its first load (build/bundle.py)


class Model(enum.StrEnum):
    """The process model of a function."""

    EPHEMERAL = "ephemeral"
    RESIDENT = "resident"


class Isolation(enum.StrEnum):
    """What one ephemeral invocation is kept apart from the next by."""

    PROCESS = "process"
    CONTAINER = "container"


class Network(enum.StrEnum):
    NONE = "none"
    SERVICES = "services"
    EGRESS = "egress"


class Contract(enum.StrEnum):
    """What a function's code was written for: how it is called, and what its answer means.

    Each runtime names those that its agent speaks (`contracts` in `runtime.yaml`).
    """

    WEB = "web"  # an app that answers HTTP itself
    EVENT = "event"  # fnctl's own `(event, context)`
    COMMAND = "command"  # any program that listens on $PORT
    LAMBDA = "lambda"
    FC_EVENT = "fc-event"
    FC_HTTP = "fc-http"
    FC3_HTTP = "fc3-http"
    FRAMEWORK_HTTP = "functions-framework-http"
    FRAMEWORK_CLOUDEVENT = "functions-framework-cloudevent"
    OPENFAAS = "openfaas"
    OPENWHISK = "openwhisk"
    CLOUDEVENTS = "cloudevents"


class StartKind(enum.StrEnum):
    """How the instance that served an invocation came to be; the same four words everywhere."""

    COLD = "cold"
    BASE = "base"
    RUNTIME = "runtime"
    WARM = "warm"


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """An HTTP route. `path` may hold `{name}` segments and a last `{name...}`; no `methods`: any, no `host`: any."""

    path: str
    methods: frozenset[str] = frozenset()
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    min: int = 0
    max: int = 10


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret's value is found when an instance starts: in a file, or in a variable. Never the value itself."""

    name: str  # of the file under /run/secrets
    file: Path | None
    variable: str | None
    env_file: Path  # the project's `.env`, for a variable that the process does not have
    declared: str  # "fnctl.yaml:12"


@dataclass(frozen=True, slots=True)
class Function:
    """The deployable unit, validated, with every default filled in."""

    name: str
    path: Path  # the folder of its code, absolute
    runtime: str  # "node24", "python3.13"
    handler: str  # "index.js" (run as the main program) or "module.attr" (a callable); "" where there is a command
    command: tuple[str, ...] = ()  # a program that listens on $PORT, with its arguments
    contract: Contract | None = None  # None: the agent tells an app from an event handler by what it finds
    initializer: str | None = None  # `module.attr`, called once before the first invocation, where the contract has one
    model: Model = Model.RESIDENT
    isolation: Isolation = Isolation.PROCESS
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[Secret, ...] = ()
    private: tuple[str, ...] = ()  # files of its folder that hold what no bundle may: secrets and environment files
    timeout_s: float = 30.0
    memory_mb: int = 256
    tmp_mb: int = 64  # of /tmp, at least; counts as memory
    cpus: float | None = None
    concurrency: int = 64  # requests at a time in one instance; always 1 where ephemeral
    queue: int = 1000  # waiting invocations, past which 429
    scale: Scale = Scale()
    idle_timeout_s: float = 60.0
    network: Network = Network.NONE
    triggers: tuple[HttpTrigger, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A stateful node: a plain container with a volume, never reaped."""

    name: str
    type: str  # "data": the built-in table store


@dataclass(frozen=True, slots=True)
class Project:
    """A validated `fnctl.yaml`, or what was found in a folder without one."""

    root: Path
    id: str  # stable short hash of the root path: names, labels and state folders carry it
    functions: tuple[Function, ...]
    services: tuple[Service, ...] = ()
    file: Path | None = None
    notes: tuple[str, ...] = ()  # what the user should know of how it was found; each with its place


@dataclass(frozen=True, slots=True)
class Bundle:
    """The content-addressed result of building a function's code and its dependencies.

    `root` is a folder, read-only by convention, owned by fnctl, that holds exactly the files of the bundle;
    `digest` ("sha256:…") is over names, modes and contents of all of them.
    """

    function: str
    digest: str
    root: Path
    runtime: str
    handler: str
    size_bytes: int
    files: int


@dataclass(slots=True)
class Receipt:
    """What one invocation cost and how it ended. Times in ms; None where it could not be measured, never a guess.

    Not frozen, alone among these values: one is made for every request, and freezing makes that ten times as slow. The
    meter fills in what it measures, and nobody changes a receipt after that.
    """

    id: str
    function: str
    version: str  # first 12 hex digits of the bundle digest
    start: StartKind | None  # None where no instance was reached
    status: int
    verdict: str  # "ok" or the error's code: crash, oom, timeout, queue_full, …
    at: float  # wall clock, seconds since the epoch, when the request's head was read
    queue_ms: float = 0.0
    container_ms: float = 0.0
    runtime_ms: float = 0.0
    load_ms: float = 0.0
    handler_ms: float = 0.0
    total_ms: float = 0.0
    billed_ms: int = 0
    cpu_ms: float | None = None
    shared_by: int = 1  # cpu_ms is the instance's CPU in a window divided by the invocations in it
    peak_memory_mb: float | None = None
    instance: str | None = None
    method: str = ""
    path: str = ""
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything the engine needs to make one hardened sandbox."""

    name: str
    image: str
    command: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    uid: int
    mounts: tuple[tuple[str, str, bool], ...]  # (host path or volume name, path inside, read-only)
    memory_mb: int = 256
    cpus: float | None = None
    pids: int = 128
    nofile: int = 1024
    tmp_mb: int = 64
    # An engine network's name. None: a network namespace of its own with loopback alone, for good (no `connect`).
    network: str | None = "none"
    environment: tuple[tuple[str, str], ...] = ()
    hostname: str = "sandbox"
    read_only: bool = True
    log_driver: str = "none"
    auto_remove: bool = False  # the engine removes it when it ends, even if fnctl is gone by then


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """What the engine says of a container that carries our labels."""

    id: str
    name: str
    running: bool
    pid: int
    labels: dict[str, str] = field(default_factory=dict)
    oom_killed: bool = False
    exit_code: int | None = None


INSTALLING = "installing the dependencies of"


@dataclass(frozen=True, slots=True)
class InstallRule:
    """How dependencies are installed where the function's folder holds all of `files`; `runtime.yaml` declares them.

    `run` is run in a copy of the folder, in a container of the sandbox image; what it needs stands at `result` after
    it (a path in that folder).
    """

    files: tuple[str, ...]
    run: tuple[str, ...]
    result: str
    environment: tuple[tuple[str, str], ...] = ()
    what: str = INSTALLING  # in messages, before the function's name
    carries: str | None = None  # digest of the runtime's own files that end in the result; None where none do


@dataclass(frozen=True, slots=True)
class CompileRule:
    """What is run over code at /fn/app, with no network, where any file's name ends in `suffix`; in `runtime.yaml`.

    It must add the same bytes each time, since they count in the digest. That some files do not compile is no failure.
    """

    suffix: str
    run: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WarmRule:
    """What loads a finished bundle once, with no network, to fill a cache of compiled code; in `runtime.yaml`.

    The words `{handler}` and `{contract}` in `run` stand for the function's own, the latter empty where none is
    configured. The bundle lies at /fn/app, read-only; the cache is what the command leaves in /fn/cache. It counts in
    no digest, and a load that fails only leaves less of it. `suffix`: of a file that the folder must have, for there to
    be anything to load. `ahead`: the agent can read the cache before it is given the function (`ahead` in
    layers/PROTOCOL.md).
    """

    run: tuple[str, ...]
    suffix: str = ""
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class CodeRule:
    """How a language names its code, for `handler` in fnctl.yaml; `code:` in `runtime.yaml`."""

    suffixes: tuple[str, ...] = ()  # a handler that ends so is a file that is run; others are `module.attr`
    modules: tuple[str, ...] = ()  # where the module of `module.attr` may lie: `{path}.py`; none: not looked for
    dotted: bool = False  # `a.b.attr` is the module a/b, as Python has it, and not a file called a.b
    default_export: bool = False  # where a contract calls a function, a file stands for what it exports by default
    concurrency: int = 16  # requests at a time in one instance where the function does not say


@dataclass(frozen=True, slots=True)
class DetectRule:
    """How a folder is told to hold this language's code; `detect:` in `runtime.yaml`, for languages fnctl cannot read.

    It holds where the files of `beside` are all there and some file matches the glob `file`, with a line that matches
    the regular expression `text` if there is one. In `handler`, `{file}` and `{stem}` are that file, and `{NAME}` a
    named group of `text`.
    """

    file: str
    handler: str
    contract: Contract
    beside: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RuntimeSpec:
    """A language environment, as its folder under `layers/` declares it (`runtime.yaml`)."""

    name: str  # "node24"
    language: str  # "node", "python": which installer and which static reading apply
    version: str  # the interpreter's exact version
    folder: Path  # the folder under layers/
    agent: tuple[str, ...]  # argv of the agent inside the sandbox
    template: tuple[str, ...] = ()  # the same for one that forks an ephemeral function's processes, where that differs
    environment: tuple[tuple[str, str], ...] = ()  # the agent's environment, beside what the function sets
    contracts: tuple[Contract, ...] = (Contract.WEB, Contract.EVENT)  # what its agent can call
    code: CodeRule = CodeRule()
    detect: tuple[DetectRule, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()  # the environment of a `command` on this runtime: PATH and the like
    booted_as: str = ""  # whose agent `agent` is, where it is not this runtime's own (assets.runtime_of)
    install: tuple[InstallRule, ...] = ()  # in order; the first whose files are all there applies
    compile: CompileRule | None = None
    warm: WarmRule | None = None

    @property
    def tier(self) -> str:
        """What a booted agent calls itself, and what the pool keeps it by: functions that share it share boots."""
        return self.booted_as or self.name
