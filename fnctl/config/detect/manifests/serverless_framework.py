"""The Serverless Framework: `serverless.yml`, with the provider aws or aliyun.

"Serverless.yml Reference", "AWS Lambda Functions", "HTTP API", "API Gateway"; "Alibaba Cloud - Functions", "HTTP".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fnctl.config.detect.finding import Finding
from fnctl.config.detect.manifests import references
from fnctl.config.detect.manifests.kind import Kind, handler_of, runtime
from fnctl.config.detect.manifests.place import Keys, Manifest, Place
from fnctl.config.detect.manifests.translations import in_place_of, name_of, route
from fnctl.model import Contract, HttpTrigger

CONTRACTS = {"aws": Contract.LAMBDA, "aliyun": Contract.FC_EVENT}
_HTTP_EVENT = "the event of `http` is the request's body here, not what API Gateway makes of the request"
TOP = Keys(
    read=("functions", "provider", "plugins"),
    left={"layers": "put what is in them beside the code"},
    quiet=("service", "frameworkVersion", "configValidationMode", "useDotenv", "deprecationNotificationMode",
           "disabledDeprecations", "params", "stages", "custom", "package", "resources", "build", "app", "org",
           "outputs", "state", "dashboard", "variablesResolutionMode", "configurationValidationMode", "console"),
)  # fmt: skip
FUNCTION = Keys(
    read=("handler", "runtime", "environment", "timeout", "memorySize", "events"),
    left={
        "layers": "put what is in them beside the code",
        "vpc": "see `network:` in fnctl.yaml",
        "fileSystemConfig": "a function's folder is read-only and /tmp its own",
        "reservedConcurrency": "see `scale: {max: …}` in fnctl.yaml",
        "provisionedConcurrency": "see `scale: {min: …}` in fnctl.yaml",
    },
    quiet=("name", "description", "package", "role", "tags", "tracing", "url", "onError", "kmsKeyArn", "awsKmsKeyArn",
           "destinations", "maximumRetryAttempts", "maximumEventAge", "architecture", "ephemeralStorageSize",
           "condition", "dependsOn", "disableLogs", "logRetentionInDays", "logDataProtectionPolicy", "logs",
           "runtimeManagement", "snapStart", "versionFunction", "recursiveLoop", "tenancy", "build", "image"),
)  # fmt: skip
HTTP = Keys(
    read=("path", "method"),
    quiet=("cors", "private", "authorizer", "request", "response", "async", "integration", "connectionType",
           "connectionId", "operationId", "documentation", "bodyFormat", "schema", "timeout", "id", "throttling"),
)  # fmt: skip


def _is_one(data: Mapping[str, Any]) -> bool:
    return "service" in data and "provider" in data


def _findings(manifest: Manifest) -> list[Finding]:
    top = manifest.top
    loosely = "plugins" in top  # plugins bring keys of their own
    top.check(TOP, loosely)
    provider = _provider(top)
    name = provider.text("name") or ""
    contract = CONTRACTS.get(name)
    if contract is None:
        provider.problem("name", f"no contract for the provider `{name}`", f"known: {', '.join(CONTRACTS)}")
        return []
    made = [_function(each, provider, contract, loosely) for each in top.at("functions").each()]
    return [each for each in made if each is not None]


def _provider(top: Place) -> Place:
    """`provider: aws` is short for `provider: {name: aws}`."""
    if isinstance(top.data.get("provider"), str):
        return Place(top.manifest, ("provider",), {"name": top.data["provider"]})
    return top.at("provider")


def _function(place: Place, provider: Place, contract: Contract, loosely: bool) -> Finding | None:
    place.check(FUNCTION, loosely)

    def said(key: str) -> Place:
        return place if key in place or key not in provider else provider

    if "image" in place and "handler" not in place:
        place.problem("image", f"{place.name} is a container image", "fnctl runs code: give its handler")
        return None
    language, handler = runtime(said("runtime"), "runtime"), handler_of(place, "handler")
    triggers = tuple(_routes(place, contract))
    variables = {**dict(provider.at("environment").variables()), **dict(place.at("environment").variables())}
    if language is None or handler is None:
        return None
    return Finding(
        language=language[0],
        wanted=language[1],
        handler=handler,
        contract=contract,
        name=name_of(place.name),
        called=place.name,
        environment=tuple(variables.items()),
        timeout_s=_seconds(said("timeout")),
        memory_mb=said("memorySize").whole("memorySize"),
        triggers=triggers,
        payload=_payload(place, provider) if contract is Contract.LAMBDA else None,
        evidence=(
            provider.evidence("name", f"contract {contract}"),
            place.evidence("handler", f"handler {handler}"),
            said("runtime").evidence("runtime", f"runtime {language[0]} {language[1] or ''}".rstrip()),
        ),
    )


def _payload(function: Place, provider: Place) -> str | None:
    """Format 1.0 for a REST API (`http`), and for an HTTP API where the provider says so. None: 2.0."""
    said = provider.at("httpApi").text("payload") if "httpApi" in provider else None
    of_kind = {"http": "1.0", "httpApi": said or "2.0"}
    events = function.data.get("events")
    kinds = [str(kind) for event in (events if isinstance(events, list) else []) for kind in _kinds(event)]
    formats = [of_kind[kind] for kind in kinds if kind in of_kind]
    if len(set(formats)) > 1:
        function.note("events", f"events come in payload formats 1.0 and 2.0; here all of them in {formats[0]}")
    return "1.0" if formats[:1] == ["1.0"] else None


def _kinds(event: object) -> list[object]:
    return list(event) if isinstance(event, dict) else [event]


def _seconds(place: Place) -> float | None:
    """A number of seconds; the Alibaba guide also writes `90s`."""
    value = place.data.get("timeout")
    if isinstance(value, str) and value.removesuffix("s").isdecimal():
        return float(value.removesuffix("s"))
    return place.number("timeout")


def _routes(function: Place, contract: Contract) -> Iterator[HttpTrigger]:
    events = function.data.get("events")
    for index, event in enumerate(events if isinstance(events, list) else []):
        place = Place(function.manifest, (*function.loc, "events", index), event if isinstance(event, dict) else {})
        for kind in place.data or [str(event)]:
            if kind in ("http", "httpApi"):
                yield from _route(place, str(kind), contract)
            else:
                text = f"event `{kind}` of {function.name} is ignored"
                place.note(None, text, in_place_of(str(kind)))


def _route(place: Place, kind: str, contract: Contract) -> Iterator[HttpTrigger]:
    """`GET /path`, `* /path`, `*`, or a mapping with path and method."""
    value = place.data[kind]
    if isinstance(value, dict):
        event = place.at(kind)
        event.check(HTTP, loosely=True)
        path, method = event.text("path"), event.text("method") or "*"
    else:
        words = str(value).split()
        path, method = (words[-1], words[0] if len(words) > 1 else "*") if words else (None, "*")
    if kind == "http" and contract is Contract.FC_EVENT:
        place.note(kind, _HTTP_EVENT)
    if path is None or path == "*":
        return
    made = route(path, (method,))
    if made is None:
        place.note(kind, f"path `{path}` is ignored: `{{name}}` must be a whole segment")
    else:
        yield made


SERVERLESS_FRAMEWORK = Kind(
    "Serverless Framework",
    ("serverless.yml", "serverless.yaml"),
    "provider",
    _is_one,
    references.serverless_framework,
    _findings,
)
