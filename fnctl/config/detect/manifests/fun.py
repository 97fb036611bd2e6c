"""Alibaba Cloud Function Compute as Fun and ROS write it: `template.yml` with `Aliyun::Serverless::Function`.

Fun's "Serverless Application Model, version 2018-04-03": functions stand inside their service; the
`Events` of one are its triggers. ROS' "Aliyun::Serverless::Function".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fnctl.config.detect.finding import Finding
from fnctl.config.detect.manifests import references
from fnctl.config.detect.manifests.fc import custom_app, custom_limits, fc_contract, method_routes
from fnctl.config.detect.manifests.kind import Kind, folder_of, handler_of, runtime
from fnctl.config.detect.manifests.place import Keys, Manifest, Place
from fnctl.config.detect.manifests.translations import in_place_of, name_of

FUNCTION_TYPE = "Aliyun::Serverless::Function"
SERVICE_TYPE = "Aliyun::Serverless::Service"
TOP = Keys(
    read=("Resources", "Transform", "ROSTemplateFormatVersion", "Parameters"),
    quiet=("Description", "Metadata", "Mappings", "Conditions", "Outputs", "Globals"),
)
FUNCTION = Keys(
    read=("Handler", "Initializer", "Runtime", "CodeUri", "Timeout", "MemorySize", "EnvironmentVariables",
          "InstanceConcurrency", "CAPort"),
    left={
        "Layers": "put what is in them beside the code",
        "NasConfig": "a function's folder is read-only and /tmp its own",
        "VpcConfig": "see `network:` in fnctl.yaml",
    },
    quiet=("Description", "InitializationTimeout", "InstanceType", "CustomContainerConfig", "ServiceName",
           "AsyncConfiguration", "InstanceLifecycleConfig", "FunctionName"),
)  # fmt: skip
DECLARATION = Keys(read=("Type", "Properties", "Events"), quiet=("DependsOn",))
HTTP = Keys(read=("AuthType", "Methods"), quiet=("Qualifier",))


def _is_one(data: Mapping[str, Any]) -> bool:
    resources = data.get("Resources")
    some = resources.values() if isinstance(resources, dict) else ()
    types = {str(each.get("Type")) for each in some if isinstance(each, dict)}
    return str(data.get("Transform", "")).startswith("Aliyun::Serverless") or bool(
        types & {FUNCTION_TYPE, SERVICE_TYPE}
    )


def _findings(manifest: Manifest) -> list[Finding]:
    top = manifest.top
    top.check(TOP)
    return [found for each in _declared(top.at("Resources")) if (found := _function(each)) is not None]


def _declared(resources: Place) -> Iterator[Place]:
    for resource in resources.each():
        if resource.data.get("Type") == FUNCTION_TYPE:
            yield resource
        elif resource.data.get("Type") == SERVICE_TYPE:
            yield from (each for each in resource.each() if each.data.get("Type") == FUNCTION_TYPE)


def _function(place: Place) -> Finding | None:
    place.check(DECLARATION)
    properties = place.at("Properties")
    properties.check(FUNCTION)
    language, path = runtime(properties, "Runtime"), folder_of(properties, "CodeUri")
    http = _http(place.at("Events"))
    if language and language[0].startswith("custom"):
        app = custom_app(properties, "Runtime", place.name, path, port=properties.text("CAPort"))
        routes = method_routes(http.at("Properties").texts("Methods")) if http else ()
        named = replace(app, name=name_of(place.name), called=place.name, triggers=routes) if app else None
        return custom_limits(named, _limits(properties)) if named else None
    handler, initializer = handler_of(properties, "Handler"), properties.text("Initializer")
    if language is None or path is None or handler is None:
        return None
    contract = fc_contract(properties.manifest.folder / path, language[0], handler, http is not None, third=False)
    told = http.evidence("Type", f"contract {contract.word}") if http else place.evidence("Type", "contract fc-event")
    return Finding(
        language=language[0],
        wanted=language[1],
        handler=handler,
        contract=contract.word,
        triggers=method_routes(http.at("Properties").texts("Methods")) if http else (),
        initializer=initializer,
        name=name_of(place.name),
        called=place.name,
        path=path,
        **_limits(properties),
        evidence=(
            told,
            *contract.evidence,
            properties.evidence("Handler", f"handler {handler}"),
            properties.evidence("Runtime", f"runtime {language[0]} {language[1] or ''}".rstrip()),
            *([properties.evidence("CodeUri", f"path {path}")] if path != "." else []),
            *([properties.evidence("Initializer", f"initializer {initializer}")] if initializer else []),
        ),
    )


def _limits(properties: Place) -> dict[str, Any]:
    """What a Finding has beside its code."""
    return {
        "environment": properties.at("EnvironmentVariables").variables(),
        "timeout_s": properties.number("Timeout"),
        "memory_mb": properties.whole("MemorySize"),
        "concurrency": properties.whole("InstanceConcurrency"),
    }


def _http(events: Place) -> Place | None:
    """The HTTP trigger, if there is one. What other triggers there are is noted."""
    found = None
    for event in events.each():
        if event.text("Type") == "HTTP":
            event.at("Properties").check(HTTP)
            found = event
        else:
            text = f"trigger `{event.name}` of type {event.data.get('Type')} is ignored"
            event.note(None, text, in_place_of(str(event.data.get("Type"))))
    return found


FUN = Kind(
    "Alibaba Function Compute (Fun)",
    ("template.yml", "template.yaml"),
    "Aliyun::Serverless",
    _is_one,
    references.cloudformation,
    _findings,
)
