"""AWS SAM: `template.yaml` with `AWS::Serverless::Function` resources.

"AWS SAM template anatomy", "AWS::Serverless::Function", "Globals section", "HttpApi", "Api".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fnctl.config.detect.finding import Finding
from fnctl.config.detect.manifests import references
from fnctl.config.detect.manifests.kind import Kind, folder_of, handler_of, runtime
from fnctl.config.detect.manifests.place import Keys, Manifest, Place
from fnctl.config.detect.manifests.translations import in_place_of, name_of, route
from fnctl.model import Contract, HttpTrigger

TYPE = "AWS::Serverless::Function"
TOP = Keys(
    read=("Resources", "Globals", "Parameters", "Transform"),
    quiet=(
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Mappings",
        "Conditions",
        "Outputs",
        "Rules",
        "Hooks",
    ),
)
RESOURCE = Keys(
    read=("Type", "Properties", "Metadata"),
    quiet=(
        "DependsOn",
        "Condition",
        "DeletionPolicy",
        "UpdateReplacePolicy",
        "Connectors",
        "IgnoreGlobals",
    ),
)
_BUNDLED = "put what is in it beside the code"
FUNCTION = Keys(
    read=("Handler", "Runtime", "CodeUri", "Environment", "Timeout", "MemorySize", "Events", "FunctionName",
          "PackageType", "DurableConfig"),
    left={
        "Layers": _BUNDLED,
        "VpcConfig": "see `network:` in fnctl.yaml",
        "FileSystemConfigs": "a function's folder is read-only and /tmp its own",
        "ReservedConcurrentExecutions": "see `scale: {max: …}` in fnctl.yaml",
        "ProvisionedConcurrencyConfig": "see `scale: {min: …}` in fnctl.yaml",
        "InlineCode": "put it into a file",
        "ImageUri": "fnctl builds images itself",
    },
    quiet=("Architectures", "AssumeRolePolicyDocument", "AutoPublishAlias", "AutoPublishAliasAllProperties",
           "AutoPublishCodeSha256", "CapacityProviderConfig", "CodeSigningConfigArn", "DeadLetterQueue",
           "DeploymentPreference", "Description", "EphemeralStorage", "EventInvokeConfig",
           "FunctionScalingConfig", "FunctionUrlConfig", "ImageConfig", "KmsKeyArn", "LoggingConfig",
           "PermissionsBoundary", "Policies", "PropagateTags", "PublishToLatestPublished", "RecursiveLoop", "Role",
           "RolePath", "RuntimeManagementConfig", "SnapStart", "SourceKMSKeyArn", "Tags", "TenancyConfig", "Tracing",
           "VersionDeletionPolicy", "VersionDescription"),
)  # fmt: skip
DURABLE = Keys(read=("ExecutionTimeout", "RetentionPeriodInDays"), quiet=("KMSKeyArn",))
EVENT = Keys(
    read=("Path", "Method", "PayloadFormatVersion"),
    quiet=("ApiId", "RestApiId", "Auth", "RouteSettings", "TimeoutInMillis", "RequestModel",
           "RequestParameters", "ResponseTransferMode"),
)  # fmt: skip


def _is_one(data: Mapping[str, Any]) -> bool:
    resources = data.get("Resources")
    transform = data.get("Transform")
    named = "AWS::Serverless-2016-10-31" in (transform if isinstance(transform, list) else [transform])
    some = resources.values() if isinstance(resources, dict) else ()
    return named or any(isinstance(each, dict) and each.get("Type") == TYPE for each in some)


def _findings(manifest: Manifest) -> list[Finding]:
    top = manifest.top
    top.check(TOP)
    shared = top.at("Globals").at("Function")
    shared.check(FUNCTION)
    resources = [each for each in top.at("Resources").each() if each.data.get("Type") == TYPE]
    return [found for resource in resources if (found := _function(resource, shared)) is not None]


def _function(resource: Place, shared: Place) -> Finding | None:
    resource.check(RESOURCE)
    own = resource.at("Properties")
    own.check(FUNCTION)

    def said(key: str) -> Place:
        return own if key in own or key not in shared else shared

    if said("PackageType").text("PackageType") == "Image":
        own.problem(
            "PackageType", f"{resource.name} is a container image", "fnctl runs code, not images: give its folder"
        )
        return None
    language, handler = runtime(said("Runtime"), "Runtime"), handler_of(said("Handler"), "Handler")
    path = folder_of(said("CodeUri"), "CodeUri")
    if handler and path:
        handler = _source(resource.at("Metadata"), handler, own.manifest.folder / path)
    variables = dict(shared.at("Environment").at("Variables").variables())
    variables |= dict(own.at("Environment").at("Variables").variables())
    triggers = tuple(_routes(own.at("Events")))
    if language is None or handler is None or path is None:
        return None
    return Finding(
        language=language[0],
        wanted=language[1],
        handler=handler,
        contract=Contract.LAMBDA,
        name=name_of(resource.name),
        called=resource.name,
        path=path,
        environment=tuple(variables.items()),
        timeout_s=said("Timeout").number("Timeout"),
        memory_mb=said("MemorySize").whole("MemorySize"),
        triggers=triggers,
        durable=_durable(said("DurableConfig")),
        payload=_payload(own.at("Events")),
        evidence=(
            resource.evidence("Type", "contract lambda"),
            said("Handler").evidence("Handler", f"handler {handler}"),
            said("Runtime").evidence("Runtime", f"runtime {language[0]} {language[1] or ''}".rstrip()),
            *([said("CodeUri").evidence("CodeUri", f"path {path}")] if path != "." else []),
        ),
    )


def _source(metadata: Place, handler: str, folder: Path) -> str:
    """Where `sam build` bundles with esbuild, the handler is addressed in what that makes: of src/app.ts, app.js.

    Here the source is served, and the handler addressed in it.
    """
    module, _, attr = handler.rpartition(".")
    if metadata.text("BuildMethod") != "esbuild" or any(folder.glob(f"{module}.*")):
        return handler
    stems = [
        entry.rpartition(".")[0].removeprefix("./") for entry in metadata.at("BuildProperties").texts("EntryPoints")
    ]
    found = next((stem for stem in stems if stem == module or stem.endswith(f"/{module}")), None)
    return f"{found}.{attr}" if found else handler


def _durable(place: Place) -> tuple[float | None, float | None] | None:
    if "DurableConfig" not in place:
        return None
    config = place.at("DurableConfig")
    config.check(DURABLE)
    days = config.number("RetentionPeriodInDays")
    return config.number("ExecutionTimeout"), None if days is None else days * 86_400


def _payload(events: Place) -> str | None:
    """Format 1.0 for a REST API (`Api`), and for an HTTP API that says so. None: 2.0, or no event of HTTP at all.

    A function has one format here: where events differ, that is noted, and the first counts.
    """
    formats = []
    for event in events.each():
        kind = event.data.get("Type")
        if kind in ("Api", "HttpApi"):
            said = event.at("Properties").text("PayloadFormatVersion")
            formats.append("1.0" if kind == "Api" or said == "1.0" else "2.0")
    if len(set(formats)) > 1:
        events.note(None, f"events come in payload formats 1.0 and 2.0; here all of them in {formats[0]}")
    return "1.0" if formats[:1] == ["1.0"] else None


def _routes(events: Place) -> Iterator[HttpTrigger]:
    for event in events.each():
        kind = event.text("Type")
        if kind not in ("HttpApi", "Api"):
            event.note(None, f"event `{event.name}` of type {kind} is ignored", in_place_of(str(kind)))
            continue
        properties = event.at("Properties")
        properties.check(EVENT)
        path, method = properties.text("Path"), properties.text("Method")
        if path is None or path == "$default":
            continue  # every path: the function's own addresses
        made = route(path, (method or "ANY",))
        if made is None:
            properties.note("Path", f"path `{path}` is ignored: `{{name}}` must be a whole segment")
        else:
            yield made


SAM = Kind(
    "AWS SAM", ("template.yaml", "template.yml"), "AWS::Serverless", _is_one, references.cloudformation, _findings
)
