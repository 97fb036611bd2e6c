"""Alibaba Cloud Function Compute as Serverless Devs writes it: `s.yaml`, with the component fc3 or fc.

devsapp/fc3 "Yaml 规范" (edition 3.0.0: `resources:`, one function a resource) and devsapp/fc "Yaml规范说明" (edition
1.0.0: `services:`, a service with one function and its triggers).
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
from fnctl.config.detect.manifests.translations import in_place_of, name_of, route
from fnctl.model import HttpTrigger

TOP = Keys(
    read=("resources", "services", "vars", "edition"),
    quiet=("name", "access", "version", "extend", "template", "flow", "actions", "author", "description"),
)
RESOURCE = Keys(read=("component", "props"), quiet=("access", "actions", "extend", "flow"))
_LEFT = {
    "layers": "put what is in them beside the code",
    "nasConfig": "a function's folder is read-only and /tmp its own",
    "ossMountConfig": "a function's folder is read-only and /tmp its own",
    "vpcConfig": "see `network:` in fnctl.yaml",
    "provisionConfig": "see `scale: {min: …}` in fnctl.yaml",
}
FUNCTION_3 = Keys(
    read=("functionName", "runtime", "handler", "code", "environmentVariables", "timeout", "memorySize", "cpu",
          "instanceConcurrency", "instanceLifecycleConfig", "triggers",
          "customRuntimeConfig"),
    left=_LEFT,
    quiet=("region", "description", "role", "logConfig", "diskSize", "gpuConfig", "customDNS", "internetAccess",
           "customContainerConfig", "tracingConfig", "vpcBinding", "asyncInvokeConfig",
           "concurrencyConfig", "customDomain", "tags", "resourceGroupId", "annotations", "idleTimeout",
           "disableOndemand", "sessionAffinity", "sessionAffinityConfig", "instanceIsolationMode", "polarFsConfig",
           "aliases", "scalingConfig", "invocationRestriction", "disableInjectCredentials", "enableLongLiving"),
)  # fmt: skip
PROPS_2 = Keys(read=("function", "triggers", "customDomains"), quiet=("region", "service"))
FUNCTION_2 = Keys(
    read=("name", "runtime", "handler", "codeUri", "environmentVariables", "timeout", "memorySize", "cpu",
          "initializer", "instanceConcurrency", "customRuntimeConfig", "caPort"),
    left={**_LEFT, "layer": _LEFT["layers"], "ossBucket": "give the folder of the code as codeUri"},
    quiet=("description", "ossKey", "customContainerConfig", "initializationTimeout",
           "instanceType", "instanceLifecycleConfig", "asyncConfiguration", "customDNS", "dnsOptions", "diskSize",
           "gpuMemorySize", "customHealthCheckConfig", "instanceSoftConcurrency", "service"),
)  # fmt: skip
TRIGGER = Keys(
    read=("triggerType", "type", "triggerConfig", "config"),
    quiet=("triggerName", "name", "qualifier", "role", "invocationRole", "sourceArn", "description"),
)


def _is_one(data: Mapping[str, Any]) -> bool:
    parts = [data.get(key) for key in ("resources", "services")]
    return any(
        isinstance(part, dict) and any(isinstance(each, dict) and "component" in each for each in part.values())
        for part in parts
    )


def _findings(manifest: Manifest) -> list[Finding]:
    top = manifest.top
    top.check(TOP)
    found = []
    for resource in (*top.at("resources").each(), *top.at("services").each()):
        resource.check(RESOURCE)
        component = (resource.text("component") or "").split("@")[0].rpartition("/")[2]
        if component in ("fc3", "fc"):
            found.append(_three(resource) if component == "fc3" else _two(resource))
        elif component:
            resource.note("component", f"`{resource.name}` of component {component} is not a function, and is ignored")
    return [each for each in found if each is not None]


def _three(resource: Place) -> Finding | None:
    props = resource.at("props")
    props.check(FUNCTION_3)
    http = _http(props)
    initializer = props.at("instanceLifecycleConfig").at("initializer")
    return _function(
        resource, props, name="functionName", code="code", http=http, third=True,
        initializer=(initializer, "handler"), triggers=(),
    )  # fmt: skip


def _two(resource: Place) -> Finding | None:
    props = resource.at("props")
    props.check(PROPS_2)
    function = props.at("function")
    function.check(FUNCTION_2)
    http = _http(props)
    return _function(
        resource, function, name="name", code="codeUri", http=http, third=False,
        initializer=(function, "initializer"), triggers=tuple(_domains(props)),
    )  # fmt: skip


def _function(
    resource: Place, props: Place, *, name: str, code: str, http: Place | None, third: bool,
    initializer: tuple[Place, str], triggers: tuple[HttpTrigger, ...],
) -> Finding | None:  # fmt: skip
    language, path = runtime(props, "runtime"), folder_of(props, code)
    word = props.data.get(name)
    said = word if isinstance(word, str) and "${" not in word else resource.name
    called = name_of(said)
    routes = triggers or (method_routes(_methods(http)) if http else ())
    if language and language[0].startswith("custom"):
        settings = props.at("customRuntimeConfig")
        app = custom_app(props, "runtime", resource.name, path, settings, props.text("caPort"))
        return custom_limits(replace(app, name=called, called=said, triggers=routes), _limits(props)) if app else None
    handler, starts = handler_of(props, "handler"), initializer[0].text(initializer[1])
    if language is None or path is None or handler is None:
        return None
    contract = fc_contract(props.manifest.folder / path, language[0], handler, http is not None, third=third)
    trigger = http or resource
    told = trigger.evidence(None if http else "component", f"contract {contract.word}")
    return Finding(
        language=language[0],
        wanted=language[1],
        handler=handler,
        contract=contract.word,
        initializer=starts,
        name=called,
        called=said,
        path=path,
        **_limits(props),
        triggers=routes,
        evidence=(
            told,
            *contract.evidence,
            props.evidence("handler", f"handler {handler}"),
            props.evidence("runtime", f"runtime {language[0]} {language[1] or ''}".rstrip()),
            *([initializer[0].evidence(initializer[1], f"initializer {starts}")] if starts else []),
            *([props.evidence(code, f"path {path}")] if path != "." else []),
        ),
    )


def _limits(props: Place) -> dict[str, Any]:
    """What a Finding has beside its code."""
    return {
        "environment": props.at("environmentVariables").variables(),
        "timeout_s": props.number("timeout"),
        "memory_mb": props.whole("memorySize"),
        "cpus": props.number("cpu"),
        "concurrency": props.whole("instanceConcurrency"),
    }


def _http(props: Place) -> Place | None:
    """The HTTP trigger, if there is one. What other triggers there are is noted."""
    found = None
    for trigger in props.each("triggers"):
        trigger.check(TRIGGER)
        kind = trigger.text("triggerType") or trigger.text("type")
        if kind == "http":
            found = trigger
        else:
            trigger.note(None, f"trigger of type {kind} is ignored", in_place_of(str(kind)))
    return found


def _methods(trigger: Place) -> list[str]:
    return [method for key in ("triggerConfig", "config") for method in trigger.at(key).texts("methods")]


def _domains(props: Place) -> Iterator[HttpTrigger]:
    """The paths of custom domains, where they are more than everything."""
    for domain in props.each("customDomains"):
        for rule in domain.each("routeConfigs"):
            made = route(rule.text("path") or "/*", tuple(rule.texts("methods")))
            if made is not None and made.path != "/{rest...}":
                yield made


SERVERLESS_DEVS = Kind(
    "Alibaba Function Compute (Serverless Devs)",
    ("s.yaml", "s.yml"),
    "component",
    _is_one,
    references.serverless_devs,
    _findings,
)
