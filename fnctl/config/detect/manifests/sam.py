"""AWS SAM: `template.yaml` with `AWS::Serverless::Function` resources.

"AWS SAM template anatomy", "AWS::Serverless::Function", "Globals section", "HttpApi", "Api".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fnctl.config.detect.finding import Finding
from fnctl.config.detect.manifests import references
from fnctl.config.detect.manifests.kind import Kind, folder_of, handler_of, runtime
from fnctl.config.detect.manifests.place import Keys, Manifest, Place
from fnctl.config.detect.manifests.words import name_of, route
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
    read=("Type", "Properties"),
    quiet=(
        "Metadata",
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
          "PackageType"),
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
           "DeploymentPreference", "Description", "DurableConfig", "EphemeralStorage", "EventInvokeConfig",
           "FunctionScalingConfig", "FunctionUrlConfig", "ImageConfig", "KmsKeyArn", "LoggingConfig",
           "PermissionsBoundary", "Policies", "PropagateTags", "PublishToLatestPublished", "RecursiveLoop", "Role",
           "RolePath", "RuntimeManagementConfig", "SnapStart", "SourceKMSKeyArn", "Tags", "TenancyConfig", "Tracing",
           "VersionDeletionPolicy", "VersionDescription"),
)  # fmt: skip
EVENT = Keys(
    read=("Path", "Method"),
    quiet=("ApiId", "RestApiId", "Auth", "PayloadFormatVersion", "RouteSettings", "TimeoutInMillis", "RequestModel",
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
        own.problem("PackageType", f"{resource.name} is a container image", "fnctl runs code: give its folder")
        return None
    language, handler = runtime(said("Runtime"), "Runtime"), handler_of(said("Handler"), "Handler")
    path = folder_of(said("CodeUri"), "CodeUri")
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
        path=path,
        environment=tuple(variables.items()),
        timeout_s=said("Timeout").number("Timeout"),
        memory_mb=said("MemorySize").whole("MemorySize"),
        triggers=triggers,
        evidence=(
            resource.evidence("Type", "contract lambda"),
            said("Handler").evidence("Handler", f"handler {handler}"),
            said("Runtime").evidence("Runtime", f"runtime {language[0]} {language[1] or ''}".rstrip()),
            *([said("CodeUri").evidence("CodeUri", f"path {path}")] if path != "." else []),
        ),
    )


def _routes(events: Place) -> Iterator[HttpTrigger]:
    for event in events.each():
        kind = event.text("Type")
        if kind not in ("HttpApi", "Api"):
            event.note(
                None, f"event `{event.name}` of type {kind} is not taken over", "fnctl calls functions over HTTP"
            )
            continue
        properties = event.at("Properties")
        properties.check(EVENT)
        if kind == "Api":
            event.note("Type", f"event `{event.name}` of type Api comes as payload format 2.0, not 1.0")
        path, method = properties.text("Path"), properties.text("Method")
        if path is None or path == "$default":
            continue  # every path: the function's own addresses
        made = route(path, (method or "ANY",))
        if made is None:
            properties.note("Path", f"path `{path}` is not taken over: a segment is only partly variable")
        else:
            yield made


SAM = Kind(
    "AWS SAM", ("template.yaml", "template.yml"), "AWS::Serverless", _is_one, references.cloudformation, _findings
)
