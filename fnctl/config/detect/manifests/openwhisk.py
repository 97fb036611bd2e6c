"""Apache OpenWhisk: the package manifest of wskdeploy, `manifest.yaml` ("Packages", "Actions" of its specification)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from fnctl.config.detect.finding import Finding
from fnctl.config.detect.manifests import references
from fnctl.config.detect.manifests.kind import Kind
from fnctl.config.detect.manifests.place import Keys, Manifest, Place
from fnctl.config.detect.manifests.translations import name_of, runtime_of
from fnctl.model import Contract

# "Recognized File extensions" of the specification.
EXTENSIONS = {".js": "node", ".mjs": "node", ".cjs": "node", ".py": "python", ".php": "php", ".go": "go", ".rb": "ruby"}
TOP = Keys(read=("packages", "package", "project"))
PACKAGE = Keys(
    read=("actions",),
    left={"sequences": "call one function from another", "triggers": "fnctl has HTTP and timer triggers"},
    quiet=("version", "license", "rules", "apis", "dependencies", "inputs", "annotations", "namespace", "credential",
           "apiHost", "public", "default", "name", "description", "feeds", "repositories"),
)  # fmt: skip
ACTION = Keys(
    read=("function", "runtime", "kind", "main", "limits", "web", "web-export"),
    left={
        "inputs": "parameters with default values come with the request",
        "code": "put it into a file",
        "docker": "fnctl builds images itself",
    },
    quiet=("version", "outputs", "feed", "raw-http", "native", "final", "annotations", "description", "name",
           "namespace", "include", "exposedUrl"),
)  # fmt: skip
LIMITS = Keys(
    read=("timeout", "memorySize", "concurrency"),
    quiet=("codeSize", "concurrentActivations", "logSize", "parameterSize", "userInvocationRate"),
)


def _is_one(data: Mapping[str, Any]) -> bool:
    return any(_has_actions(each) for each in _packages_of(data))


def _packages_of(data: Mapping[str, Any]) -> Iterator[Any]:
    project = data.get("project")
    for holder in (data, project if isinstance(project, dict) else {}):
        packages = holder.get("packages")
        yield from packages.values() if isinstance(packages, dict) else ()
        yield holder.get("package")


def _has_actions(package: object) -> bool:
    return isinstance(package, dict) and isinstance(package.get("actions"), dict)


def _findings(manifest: Manifest) -> list[Finding]:
    top = manifest.top
    top.check(TOP)
    found = []
    for holder in (top, top.at("project")):
        for package in (*holder.at("packages").each(), holder.at("package")):
            package.check(PACKAGE)
            found += [made for action in package.at("actions").each() if (made := _action(action)) is not None]
    return found


def _action(action: Place) -> Finding | None:
    action.check(ACTION)
    where = _handler(action)
    language = _language(action)
    limits = action.at("limits")
    limits.check(LIMITS)
    timeout_ms = _amount(limits, "timeout", {"ms": 1, "s": 1000, "m": 60_000, "": 1})
    if where is None or language is None:
        return None
    path, handler = where
    return Finding(
        language=language[0],
        wanted=language[1],
        handler=handler,
        contract=Contract.OPENWHISK,
        name=name_of(action.name),
        called=action.name,
        path=path,
        timeout_s=None if timeout_ms is None else timeout_ms / 1000,
        memory_mb=_whole(_amount(limits, "memorySize", {"mb": 1, "m": 1, "gb": 1024, "kb": 1 / 1024, "": 1})),
        concurrency=limits.whole("concurrency"),
        evidence=(
            action.evidence("function", f"contract openwhisk, handler {handler}"),
            *([action.evidence("runtime", f"runtime {language[0]}")] if "runtime" in action else []),
        ),
    )


def _handler(action: Place) -> tuple[str, str] | None:
    """Folder and `module.attr`: a file of that folder, or a folder with an index file; `main` names the function."""
    said = action.text("function")
    if said is None:
        if "function" not in action:
            action.problem(None, f"`function` is missing in {action.name}", "set it to the file of the action")
        return None
    folder, attr = action.manifest.folder, action.text("main") or "main"
    target = PurePosixPath(said)
    if (folder / said).is_dir():
        return target.as_posix(), f"index.{attr}"
    if not (folder / said).is_file():
        action.problem("function", f"no such file: `{said}`", "the path is relative to the manifest")
        return None
    if target.suffix not in EXTENSIONS:
        action.problem("function", f"`{said}` is not a source file", f"known: {', '.join(EXTENSIONS)}")
        return None
    return ".", f"{target.with_suffix('').as_posix()}.{attr}"


def _language(action: Place) -> tuple[str, str | None] | None:
    """What `runtime` (or `kind`) names, else what the file's extension stands for."""
    key = "kind" if "kind" in action and "runtime" not in action else "runtime"
    if key in action:
        word = action.text(key)
        return runtime_of(word.replace(":default", "")) if word else None
    suffix = PurePosixPath(str(action.data.get("function", ""))).suffix
    return (EXTENSIONS.get(suffix, "node"), None)


def _amount(limits: Place, key: str, units: Mapping[str, float]) -> float | None:
    said = limits.text(key)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", said.strip().lower()) if said else None
    if said and (found is None or found[2] not in units):
        limits.problem(key, f"`{said}` has no known unit", f"known: {', '.join(filter(None, units))}")
        return None
    return float(found[1]) * units[found[2]] if found else None


def _whole(number: float | None) -> int | None:
    return None if number is None else max(1, round(number))


OPENWHISK = Kind(
    "OpenWhisk", ("manifest.yaml", "manifest.yml"), "actions:", _is_one, lambda data: references.shell_like(), _findings
)
