"""The keys of `fnctl.yaml`: types, bounds, defaults and a description each. The one source of schema and reference."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from fnctl.config.command import command_words
from fnctl.config.units import DURATION_PATTERN, SIZE_PATTERN, duration_s, size_mb
from fnctl.model import Contract, Function, Isolation, Model, Network, Scale

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,62}$"
SECRET_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"  # it is a file's name
MIN_MEMORY_MB = 32  # an interpreter does not start in less
# Their platforms run one invocation at a time in an instance, so that code for them may keep its state in globals.
ONE_AT_A_TIME = frozenset({Contract.LAMBDA, Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP, Contract.OPENWHISK})

# model.py declares the defaults, once. (A slotted dataclass keeps them in its fields only.)
FUNCTION: dict[str, Any] = {each.name: each.default for each in fields(Function)}
SCALE: dict[str, Any] = {each.name: each.default for each in fields(Scale)}


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"`{str(value).lower()}` is not a number")
    return value


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
SecretName = Annotated[str, StringConstraints(pattern=SECRET_PATTERN)]
Files = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Count = Annotated[int, BeforeValidator(_not_bool)]
Duration = Annotated[
    float,
    BeforeValidator(duration_s),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "500ms", "2m", "1h"]}),
]
Size = Annotated[
    int,
    BeforeValidator(size_mb),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["128m", "1g"]}),
]
Command = Annotated[
    tuple[str, ...],
    BeforeValidator(command_words),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
            ]
        }
    ),
]
Text = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean"]})]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpEntry(_Entry):
    """An HTTP route to the function, beside its own addresses."""

    path: Annotated[str, StringConstraints(pattern=r"^/")] = Field(
        description="The path, from `/`; `{name}` takes one segment, a last `{name...}` the rest.",
        examples=["/api/todos/{id}"],
    )
    methods: list[Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]+$")]] = Field(
        default=[], description="The methods it answers; all where left out.", examples=[["GET", "POST"]]
    )
    host: str | None = Field(default=None, description="The host name it answers to; any where left out.")


class TriggerEntry(_Entry):
    """Binds an event source to the function."""

    http: HttpEntry = Field(description="An HTTP route.")


class ScaleEntry(_Entry):
    """How many instances of the function there may be."""

    min: Count = Field(default=SCALE["min"], ge=0, le=1000, description="Instances kept loaded though nobody calls.")
    max: Count = Field(default=SCALE["max"], ge=1, le=1000, description="Instances at most; past them requests queue.")


class FunctionEntry(_Entry):
    """One function."""

    path: str = Field(default=".", description="The folder of its code, from the folder of this file.")
    runtime: str | None = Field(
        default=None,
        description="The language environment; found by reading the code where left out.",
        examples=["node24", "python3.13"],
    )
    handler: str | None = Field(
        default=None,
        description="A file that is run as the main program (a web app), or `module.attr`, a callable. Found by "
        "reading the code where left out.",
        examples=["index.js", "handler.main"],
    )
    command: Command | None = Field(
        default=None,
        description="Any program that listens on `$PORT`, in place of `handler`: a list of words, or one line that is "
        "split as a shell would, without a shell. `$PORT` in a word stands for the port. With `runtime`, its packages "
        "are installed and its interpreter is on the PATH; without one, nothing is installed.",
        examples=[["gunicorn", "app:app"], "./server --port $PORT"],
    )
    contract: Contract | None = Field(
        default=None,
        description="What the code was written for; found by reading the code where left out.",
        examples=["lambda", "fc-http"],
    )
    initializer: str | None = Field(
        default=None,
        description="`module.attr`, called once before the first invocation. Only with contracts that have one.",
        examples=["index.initialize"],
    )
    model: Model = Field(
        default=Model.RESIDENT,
        description="`resident`: the process stays and serves many invocations. `ephemeral`: each invocation gets a "
        "process that nothing survives.",
    )
    isolation: Isolation | None = Field(
        default=None,
        description="What one ephemeral invocation is kept apart from the next by: a `process` (the sandbox is wiped "
        "between them; the default) or a `container` of its own (slower). Only with `model: ephemeral`.",
    )
    environment: dict[str, Text] = Field(
        default={}, description="Environment variables of the function.", examples=[{"GREETING": "hello"}]
    )
    env_file: Files = Field(
        default=(),
        description="Files of further variables, by the rules of Compose's `.env`; a later one and `environment` win.",
        examples=[".env", ["base.env", "local.env"]],
    )
    secrets: list[SecretName] = Field(
        default=[],
        description="Secrets of this file's `secrets` that it reads, as files at `/run/secrets/NAME`.",
        examples=[["db_password"]],
    )
    timeout: Duration = Field(
        default=FUNCTION["timeout_s"], description="One invocation's time, past which it gets 504."
    )
    memory: Size = Field(default=FUNCTION["memory_mb"], description="Memory of an instance, at least 32m.")
    tmp: Size = Field(
        default=FUNCTION["tmp_mb"],
        description="What `/tmp` must hold at least, out of `memory`. The sandboxes of a run are made alike, with the "
        "largest `tmp` of its functions.",
    )
    cpus: Annotated[float, BeforeValidator(_not_bool)] | None = Field(
        default=None, gt=0, le=1024, description="CPUs of an instance; no bound where left out.", examples=[0.5]
    )
    concurrency: Count | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Requests at a time in one instance. Default 64 for Node, 16 for Python, 1 with the contracts of "
        "platforms that promise it (lambda, fc-*, fc3-http, openwhisk); always 1 where ephemeral.",
    )
    queue: Count = Field(
        default=FUNCTION["queue"],
        ge=0,
        le=100_000,
        description="Requests that may wait for an instance; past them 429.",
    )
    scale: ScaleEntry = Field(default=ScaleEntry(), description="How many instances there may be.")
    idle_timeout: Duration = Field(
        default=FUNCTION["idle_timeout_s"], description="How long an instance is kept after its last request."
    )
    network: Network = Field(
        default=Network.NONE,
        description="`none`; `services`: only the services of this file; `egress`: those and the outside world.",
    )
    triggers: list[TriggerEntry] = Field(
        default=[], description="Routes to the function. Without any it answers at `NAME.localhost` and `/NAME/`."
    )


class ServiceEntry(_Entry):
    """A stateful node: a container with a volume, which is never reaped."""

    type: Literal["data"] = Field(description="`data`: the built-in table store.")


class SecretEntry(_Entry):
    """A secret: where its value is found when an instance starts. It is in no image, bundle or log."""

    file: str | None = Field(default=None, description="A file whose content it is, from the folder of this file.")
    environment: str | None = Field(
        default=None, description="A variable of the environment of `fnctl run`, or of `.env`, whose value it is."
    )

    @model_validator(mode="after")
    def _one_source(self) -> SecretEntry:
        if (self.file is None) == (self.environment is None):
            raise ValueError("needs `file` or `environment`, and not both; file: ./NAME.txt, or environment: NAME")
        return self


class ProjectFile(_Entry):
    """A fnctl project: its functions and the services beside them."""

    include: list[str] = Field(
        default=[], description="Further fnctl.yaml files; paths inside them are relative to themselves."
    )
    functions: dict[Name, FunctionEntry] = Field(default={}, description="The functions, by name.")
    services: dict[Name, ServiceEntry] = Field(default={}, description="The services, by name.")
    secrets: dict[SecretName, SecretEntry] = Field(default={}, description="The secrets, by name.")


def json_schema() -> dict[str, Any]:
    """The published schema. Defaults are shown as a file would spell them (`30s`, not 30.0)."""
    made = ProjectFile.model_json_schema(by_alias=True)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "fnctl.yaml"
    made["patternProperties"] = {"^x-": {"description": "Ignored: room for anchors and notes of your own."}}
    properties = made["$defs"]["FunctionEntry"]["properties"]
    properties["timeout"]["default"] = f"{FUNCTION['timeout_s']:g}s"
    properties["idle_timeout"]["default"] = f"{FUNCTION['idle_timeout_s']:g}s"
    properties["tmp"]["default"] = f"{FUNCTION['tmp_mb']}m"
    properties["memory"]["default"] = f"{FUNCTION['memory_mb']}m"
    return made
