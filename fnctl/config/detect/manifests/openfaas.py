"""OpenFaaS: `stack.yml`, "OpenFaaS YAML file reference"; the template that `lang` names says what a handler is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fnctl.config.detect.finding import Finding
from fnctl.config.detect.manifests import references
from fnctl.config.detect.manifests.kind import Kind, folder_of
from fnctl.config.detect.manifests.place import Keys, Manifest, Place
from fnctl.config.detect.manifests.translations import name_of, runtime_of
from fnctl.model import Contract

# What the official templates import, by language: node's module is the function, python's defines `handle`.
HANDLERS = {"node": "handler.default", "python": "handler.handle"}
# Templates whose handlers find the request in their environment, so that a process takes one at a time.
CLASSIC = re.compile(r"python(2?7|3)?(-debian|-armhf)?", re.IGNORECASE)
TOP = Keys(read=("functions", "provider"), quiet=("version", "configuration"))
FUNCTION = Keys(
    read=("lang", "handler", "environment", "limits"),
    left={
        "environment_file": "copy what is in it to `environment:` in fnctl.yaml",
        "secrets": "declare them in fnctl.yaml",
        "fprocess": "a template's own process is not run",
    },
    quiet=("image", "skip_build", "build_options", "build_args", "build_secrets", "constraints", "labels",
           "annotations", "requests", "readonly_root_filesystem", "namespace", "platforms", "registry_auth",
           "copy", "name"),
)  # fmt: skip
LIMITS = Keys(read=("memory", "cpu"))


def _is_one(data: Mapping[str, Any]) -> bool:
    provider, functions = data.get("provider"), data.get("functions")
    named = isinstance(provider, dict) and provider.get("name") in ("openfaas", "faas")
    some = functions.values() if isinstance(functions, dict) else ()
    return named or any(isinstance(each, dict) and "lang" in each for each in some)


def _findings(manifest: Manifest) -> list[Finding]:
    top = manifest.top
    top.check(TOP)
    made = [_function(each) for each in top.at("functions").each()]
    return [each for each in made if each is not None]


def _function(place: Place) -> Finding | None:
    place.check(FUNCTION)
    lang, path = place.text("lang") or "", folder_of(place, "handler")
    language, version = runtime_of(lang)
    limits = place.at("limits")
    limits.check(LIMITS)
    if path is None:
        return None
    if lang.lower() == "dockerfile" or language not in HANDLERS:
        hint = f"known: {', '.join(sorted(HANDLERS))}; in a fnctl.yaml, `command:` runs any program"
        place.problem("lang", f"{place.name} has the template `{lang}`, which fnctl does not know", hint)
        return None
    return Finding(
        language=language,
        wanted=version if language != "python" or version != "3" else None,
        handler=HANDLERS[language],
        contract=Contract.OPENFAAS,
        name=name_of(place.name),
        called=place.name,
        path=path,
        environment=place.at("environment").variables(),
        concurrency=1 if CLASSIC.fullmatch(lang) else None,
        memory_mb=_memory_mb(limits),
        cpus=_cpus(limits),
        evidence=(
            place.evidence("lang", f"contract openfaas, runtime {language} {version or ''}".rstrip()),
            place.evidence("handler", f"path {path}, handler {HANDLERS[language]}"),
        ),
    )


def _memory_mb(limits: Place) -> int | None:
    """`40Mi` (Kubernetes) or `40m` (Swarm)."""
    said = limits.text("memory")
    found = re.fullmatch(r"(\d+)\s*(Mi|M|m|Gi|G|g)", said) if said else None
    if said and found is None:
        limits.problem("memory", f"`{said}` is not a size", "write it like 128Mi")
    return int(found[1]) * (1024 if found[2][0] in "Gg" else 1) if found else None


def _cpus(limits: Place) -> float | None:
    """`100m` is a tenth of a CPU."""
    said = limits.text("cpu")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m?)", said) if said else None
    if said and found is None:
        limits.problem("cpu", f"`{said}` is not a number of CPUs", "write it like 0.5 or 500m")
    return float(found[1]) / (1000 if found[2] else 1) if found else None


OPENFAAS = Kind(
    "OpenFaaS", ("stack.yml", "stack.yaml"), "lang:", _is_one, lambda data: references.shell_like(), _findings
)
