"""The keys of `fnctl.yaml`: types, bounds, defaults and a description each. The one source of schema and reference.

Long for one file: one entry a key, as the file that it describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator

from fnctl.config.command import command_words
from fnctl.config.kinds import Count, Duration, Entry, Files, Name, QueueName, Reachable, SecretName, Size, not_bool
from fnctl.config.locate import PROJECT_NAME
from fnctl.config.queue_keys import ASYNC, QUEUE, AsyncEntry, NamedQueueEntry
from fnctl.config.trigger_keys import TriggerEntry
from fnctl.model import Auth, Contract, DurableRule, Function, Isolation, Model, Network, Scale, ServiceType

MIN_MEMORY_MB = 32  # an interpreter does not start in less
# Their platforms run one invocation at a time in an instance, so that code for them may keep its state in globals.
ONE_AT_A_TIME = frozenset({Contract.LAMBDA, Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP, Contract.OPENWHISK})

# model.py declares the defaults, once. (A slotted dataclass keeps them in its fields only.)
FUNCTION: dict[str, Any] = {each.name: each.default for each in fields(Function)}
DURABLE: dict[str, Any] = {each.name: each.default for each in fields(DurableRule)}
SCALE: dict[str, Any] = {each.name: each.default for each in fields(Scale)}


def store_url(value: object) -> object:
    """Tells nothing of what was found: it may have a password in it."""
    if not isinstance(value, str) or not value.startswith(("postgres://", "postgresql://")):
        raise ValueError("not the URL of a Postgres database; write postgres://USER:${DB_PASSWORD}@HOST/DATABASE")
    return value


StoreUrl = Annotated[
    str,
    BeforeValidator(store_url),
    WithJsonSchema({"type": "string", "pattern": "^postgres(ql)?://"}),
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
# YAML has 1.0 for a number, and people write it so.
Payload = Annotated[
    Literal["1.0", "2.0"],
    BeforeValidator(lambda value: f"{value:.1f}" if isinstance(value, float | int) else value),
    WithJsonSchema({"enum": ["1.0", "2.0", 1.0, 2.0]}),
]
Text = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean"]})]


class DurableEntry(Entry):
    """A durable function, for code with AWS's SDK for durable functions: each call is an execution, which may wait."""

    timeout: Duration = Field(
        default=DURABLE["timeout_s"],
        description="Time limit of a whole execution, with waiting. The function's `timeout` limits one invocation.",
    )
    retention: Duration = Field(
        default=DURABLE["keep_s"], description="How long an execution can be shown after its end."
    )


class ScaleEntry(Entry):
    """Minimum and maximum number of instances of the function."""

    min: Count = Field(default=SCALE["min"], ge=0, le=1000, description="Instances kept loaded even without requests.")
    max: Count = Field(
        default=SCALE["max"], ge=1, le=1000, description="Maximum number of instances; then requests queue."
    )


class JwtEntry(Entry):
    """JSON Web Tokens to accept."""

    jwks: str = Field(
        description="A file with the issuer's public keys (JWKS, RFC 7517), relative to this file.",
        examples=["./jwks.json"],
    )
    issuer: str | None = Field(default=None, description="The `iss` that a token must have (default: any).")
    audience: str | None = Field(default=None, description="The `aud` that a token must have (default: any).")


class AuthEntry(Entry):
    """Authentication by tokens of an issuer."""

    jwt: JwtEntry = Field(description="Tokens signed by an issuer's keys.")


class EgressEntry(Entry):
    """Addresses that functions with `network: egress` cannot reach unless the project allows them."""

    host: bool = Field(
        default=False, description="Allow this machine's own addresses, and so every program that listens on them."
    )
    link_local: bool = Field(
        default=False,
        description="Allow link-local addresses (169.254.0.0/16, fe80::/10), where clouds give out credentials.",
    )


class FunctionEntry(Entry):
    """One function."""

    path: str = Field(default=".", description="Folder of the code, relative to this file.")
    runtime: str | None = Field(
        default=None,
        description="Language and version (default: detected from the code).",
        examples=["node24", "python3.13"],
    )
    handler: str | None = Field(
        default=None,
        description="A file to run as the main program (a web app), or a function as `module.name`. Default: detected "
        "from the code.",
        examples=["index.js", "handler.main"],
    )
    command: Command | None = Field(
        default=None,
        description="A program that listens on `$PORT`, instead of `handler`: a list of words, or one line, split like "
        "in a shell but run without one. `$PORT` in a word is replaced. With `runtime`, dependencies are installed and "
        "the interpreter is in the PATH; without `runtime`, nothing is installed.",
        examples=[["gunicorn", "app:app"], "./server --port $PORT"],
    )
    contract: Contract | None = Field(
        default=None,
        description="The interface that the code was written for (default: detected from the code).",
        examples=["lambda", "fc-http"],
    )
    payload: Payload | None = Field(
        default=None,
        description="Only with `contract: lambda`: the format of a request's event. `2.0` (default): that of an HTTP "
        "API. `1.0`: that of a REST API, with `httpMethod`, `path` and `resource`.",
        examples=["1.0"],
    )
    initializer: str | None = Field(
        default=None,
        description="A function as `module.name`, called once before the first invocation. Only with contracts `fc-*`.",
        examples=["index.initialize"],
    )
    model: Model = Field(
        default=Model.RESIDENT,
        description="`resident`: one process serves many invocations. `ephemeral`: each invocation gets a new process.",
    )
    isolation: Isolation | None = Field(
        default=None,
        description="Only with `model: ephemeral`. `process` (default): a new process in the same container, which is "
        "cleaned between invocations. `container`: a new container for each invocation (slower).",
    )
    environment: dict[str, Text] = Field(
        default={}, description="Environment variables of the function.", examples=[{"GREETING": "hello"}]
    )
    env_file: Files = Field(
        default=(),
        description="Files with more variables, in Compose's `.env` format. Later files override earlier ones; "
        "`environment` overrides all.",
        examples=[".env", ["base.env", "local.env"]],
    )
    secrets: list[SecretName] = Field(
        default=[],
        description="Names from the top-level `secrets`. The function reads them as files, `/run/secrets/NAME`.",
        examples=[["db_password"]],
    )
    warmup: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")] | None = Field(
        default=None,
        description="The path of a GET request that the code answers at the end of its load, before any other, so that "
        "the one-time work of a first request is done. With `model: ephemeral`, it comes before processes are forked, "
        "so each of them benefits. It is not an invocation: it has no receipt.",
        examples=["/health"],
    )
    health: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")] | None = Field(
        default=None,
        description="The path of a GET request that a new version answers, with a status below 400, before `fnctl "
        "deploy` lets it take over. Without it, it is enough that the code loads.",
        examples=["/health"],
    )
    timeout: Duration = Field(
        default=FUNCTION["timeout_s"],
        description="Time until the response of an invocation must have begun; then the response is 504.",
    )
    idle: Duration = Field(
        default=FUNCTION["idle_s"],
        description="How long a response that has begun, or a WebSocket, can be silent; then it is cut off.",
    )
    max_duration: Duration | None = Field(
        default=None,
        description="Time limit of a whole response, from the request to its last byte, or of a WebSocket; then it is "
        "cut off. Default: none; with `model: ephemeral`, `timeout`.",
    )
    memory: Size = Field(default=FUNCTION["memory_mb"], description="Memory limit of an instance, at least 32m.")
    tmp: Size = Field(
        default=FUNCTION["tmp_mb"],
        description="Minimum size of `/tmp`, which is part of `memory`. All containers of a run get the largest "
        "`tmp` of its functions.",
    )
    cpus: Annotated[float, BeforeValidator(not_bool)] | None = Field(
        default=None, gt=0, le=1024, description="CPU limit of an instance (default: no limit).", examples=[0.5]
    )
    concurrency: Count | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Requests that one instance serves at the same time. Default: 64 for Node, 16 for Python; 1 with "
        "contracts whose platforms guarantee that (lambda, fc-*, fc3-http, openwhisk). Always 1 with "
        "`model: ephemeral`.",
    )
    max_body: Size | None = Field(
        default=None,
        description="Maximum size of a request's body (default: 16m); then the response is 413. A large body is "
        "streamed, and takes no memory of the gateway.",
        examples=["2g"],
    )
    queue: Count = Field(
        default=FUNCTION["queue"],
        ge=0,
        le=100_000,
        description="Maximum number of waiting requests; then the response is 429.",
    )
    scale: ScaleEntry = Field(default=ScaleEntry(), description="Minimum and maximum number of instances.")
    idle_timeout: Duration = Field(
        default=FUNCTION["idle_timeout_s"],
        description="How long an instance stays awake after its last request. Then it sleeps (`keep`).",
    )
    keep: Duration = Field(
        default=FUNCTION["keep_s"],
        ge=0,
        description="How long an instance sleeps after `idle_timeout` before it ends: the code stays loaded, memory "
        "that is not needed is given back, and a request is answered within milliseconds. It ends earlier if other "
        "instances need the memory (`--pool-memory`). `0s`: it ends at `idle_timeout`.",
    )
    stop_grace: Duration = Field(
        default=FUNCTION["stop_grace_s"],
        ge=0,
        description="How long a resident program has to end after SIGTERM, before it is killed: when it has slept for "
        "`keep`, is replaced by a new version, or `fnctl run` stops. `0s`: it is killed at once.",
    )
    network: Network = Field(
        default=Network.NONE,
        description="`none`: no network. `services`: only the project's services. `egress`: services and the internet.",
    )
    egress: EgressEntry = Field(
        default=EgressEntry(),
        description="With `network: egress`: allow more addresses. By default, connections to these are refused.",
    )
    ca: str | None = Field(
        default=None,
        description="Certificate authorities to trust in addition to the public ones: a file (PEM), relative to this "
        "file, or `host`: those that this machine trusts. Programs find them through `SSL_CERT_FILE` and similar "
        "variables.",
        examples=["./company-ca.pem", "host"],
    )
    triggers: list[TriggerEntry] = Field(
        default=[], description="What calls the function. Default: HTTP, at `NAME.localhost` and `/NAME/`."
    )
    deferred: AsyncEntry = Field(
        default=AsyncEntry(), alias="async", description="Rules for asynchronous calls: accepted now, made later."
    )
    durable: bool | DurableEntry = Field(
        default=False,
        description="Make each call an execution that outlives its process, for AWS Lambda's durable functions.",
        examples=[True, {"timeout": "30d", "retention": "14d"}],
    )
    calls: list[Reachable] | None = Field(
        default=None,
        description="What this function may reach of its project, at `http://fnctl.internal` (default: everything): "
        "functions, and `queue/NAME`, `workflow/NAME`, `event/TYPE` or `event/*`.",
        examples=[["orders", "mail"], ["orders", "queue/jobs", "event/order.paid"], []],
    )
    auth: Literal[Auth.NONE, Auth.KEY, Auth.HMAC] | AuthEntry = Field(
        default=Auth.NONE,
        description="The credential that a caller needs: `none`; `key`: a key of `fnctl key add`; `hmac`: a request "
        "signed with such a key (RFC 9421); `jwt`: a token of an issuer. Refused requests (401, 403) reach no "
        "instance.",
        examples=["key", {"jwt": {"jwks": "./jwks.json", "issuer": "https://issuer.example"}}],
    )


class ServiceEntry(Entry):
    """A stateful service: a container with a volume, which runs as long as `fnctl run`."""

    type: Name = Field(description="The type of service: a folder of `layers/` with a `service.yaml`.")


class SecretEntry(Entry):
    """A secret: where to read its value when an instance starts. The value is never in an image, bundle or log."""

    file: str | None = Field(default=None, description="Read the value from this file, relative to this fnctl.yaml.")
    environment: str | None = Field(
        default=None, description="Read the value from this variable of the environment of `fnctl run`, or of `.env`."
    )

    @model_validator(mode="after")
    def _one_source(self) -> SecretEntry:
        if (self.file is None) == (self.environment is None):
            raise ValueError("needs `file` or `environment`, and not both; file: ./NAME.txt, or environment: NAME")
        return self


class ProjectFile(Entry):
    """A fnctl project: functions, and the stateful services that they use."""

    name: Annotated[str, StringConstraints(pattern=f"^{PROJECT_NAME}$")] | None = Field(
        default=None,
        description="Name of the project (default: its folder's). With a name, the project and the data of its "
        "services stay the same wherever the folder is.",
        examples=["shop"],
    )
    store: StoreUrl | None = Field(
        default=None,
        description="Where asynchronous calls, timers and other state are stored (default: a file of the project). The "
        "URL of a Postgres database, which several machines can share. Needs `fnctl[postgres]`.",
        examples=["postgres://fnctl:${DB_PASSWORD}@db.internal/fnctl"],
    )
    include: list[str] = Field(
        default=[], description="More fnctl.yaml files. Paths in an included file are relative to that file."
    )
    functions: dict[Name, FunctionEntry] = Field(default={}, description="The functions, by name.")
    services: dict[Name, ServiceEntry] = Field(default={}, description="The services, by name.")
    workflows: dict[Name, str | dict[str, Any]] = Field(
        default={},
        description="Workflows, by name: each a definition of the Open Workflow Specification 1.0.3, or a file with "
        "one, relative to this file.",
        examples=[{"order": "./order.yaml"}],
    )
    secrets: dict[SecretName, SecretEntry] = Field(default={}, description="The secrets, by name.")
    queues: dict[QueueName, NamedQueueEntry] = Field(
        default={}, description="Rules of named queues. A queue that a trigger names needs no entry here."
    )


def json_schema(services: Mapping[str, ServiceType]) -> dict[str, Any]:
    """The published schema. Defaults are shown as a file would spell them (`30s`, not 30.0); `services` are the types
    that there are."""
    made = ProjectFile.model_json_schema(by_alias=True)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "fnctl.yaml"
    made["patternProperties"] = {"^x-": {"description": "Ignored: use it for YAML anchors and notes."}}
    properties = made["$defs"]["FunctionEntry"]["properties"]
    properties["timeout"]["default"] = f"{FUNCTION['timeout_s']:g}s"
    properties["idle"]["default"] = f"{FUNCTION['idle_s']:g}s"
    properties["stop_grace"]["default"] = f"{FUNCTION['stop_grace_s']:g}s"
    properties["idle_timeout"]["default"] = f"{FUNCTION['idle_timeout_s']:g}s"
    properties["keep"]["default"] = f"{FUNCTION['keep_s'] / 60:g}m"
    properties["tmp"]["default"] = f"{FUNCTION['tmp_mb']}m"
    durable = made["$defs"]["DurableEntry"]["properties"]
    durable["timeout"]["default"] = f"{DURABLE['timeout_s'] / 86_400:g}d"
    durable["retention"]["default"] = f"{DURABLE['keep_s'] / 86_400:g}d"
    late = made["$defs"]["AsyncEntry"]["properties"]
    late["backoff"]["default"] = f"{ASYNC['backoff_s']:g}s"
    late["max_age"]["default"] = f"{ASYNC['max_age_s'] / 3600:g}h"
    named = made["$defs"]["NamedQueueEntry"]["properties"]
    named["backoff"]["default"] = f"{QUEUE['backoff_s']:g}s"
    named["retention"]["default"] = f"{QUEUE['retention_s'] / 86_400:g}d"
    named["delay"]["default"] = f"{QUEUE['delay_s']:g}s"
    made["$defs"]["QueueEntry"]["properties"]["window"]["default"] = "0s"
    properties["memory"]["default"] = f"{FUNCTION['memory_mb']}m"
    kinds = made["$defs"]["ServiceEntry"]["properties"]["type"]
    kinds.pop("pattern")
    kinds["enum"] = sorted(services)
    kinds["description"] = "; ".join(f"`{name}`: {kind.about}" for name, kind in sorted(services.items())) + "."
    return made
