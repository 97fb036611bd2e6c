"""Findings as the `fnctl.yaml` that says the same: as data, and as text with the evidence beside each line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fnctl.config.detect.finding import Finding
from fnctl.model import HttpTrigger

Written = Mapping[str, tuple[Finding, str]]  # by function name: what was found, and the runtime that it gets


def entry(finding: Finding, runtime: str) -> dict[str, Any]:
    """What stands under the function's name; only what was found."""
    said: dict[str, Any] = {"path": finding.path} if finding.path != "." else {}
    if finding.command:  # a program of no language has the runtime of commands, which is what there is without any
        said |= {"runtime": runtime} if finding.language else {}
        said["command"] = list(finding.command)
    else:
        said |= {"runtime": runtime, "handler": finding.handler, "contract": str(finding.contract)}
    if finding.payload:
        said["payload"] = finding.payload
    if finding.initializer:
        said["initializer"] = finding.initializer
    if finding.environment:
        # A `$` of another platform's value is not a reference of ours.
        said["environment"] = dict(finding.environment)
    if finding.timeout_s is not None:
        said["timeout"] = f"{finding.timeout_s:g}s"
    if finding.durable is not None:
        timeout_s, keep_s = finding.durable
        times = {"timeout": timeout_s, "retention": keep_s}
        said["durable"] = {key: f"{value:g}s" for key, value in times.items() if value is not None} or True
    if finding.memory_mb is not None:
        said["memory"] = f"{finding.memory_mb}m"
    if finding.cpus is not None:
        said["cpus"] = finding.cpus
    if finding.concurrency is not None:
        said["concurrency"] = finding.concurrency
    if finding.triggers:
        said["triggers"] = [{str(trigger.kind): _trigger(trigger)} for trigger in finding.triggers]
    return said


def _trigger(trigger: HttpTrigger) -> dict[str, Any]:
    made: dict[str, Any] = {"path": trigger.path} if trigger.path else {}
    if trigger.methods:
        made["methods"] = sorted(trigger.methods)
    if trigger.host:
        made["host"] = trigger.host
    return made


def text(written: Written, source: str | None, env_file: str | None = None) -> str:
    """The file. Each key whose evidence is known has it as a comment: `# index.js:3`. `env_file`: what the functions
    are given without a file, and keep with it."""
    lines = [f"# Found by reading {source or 'the code'}.", "functions:"]
    for name, (finding, runtime) in written.items():
        lines.append(f"  {name}:")
        for key, value in entry(finding, runtime).items():
            lines += _lines(key, value, finding)
        lines += [f"    env_file: {env_file}"] if env_file else []
    return "\n".join(lines) + "\n"


def _lines(key: str, value: Any, finding: Finding) -> Iterable[str]:
    said = finding.line_for(key)
    comment = f" # {said.where}" if said else ""
    if key == "environment":
        yield "    environment:"
        yield from (f"      {scalar(name)}: {scalar(each.replace('${', '$${'))}" for name, each in value.items())
    elif key == "command":
        yield f"    command: [{', '.join(map(scalar, value))}]{comment}"
    elif key == "triggers":
        yield "    triggers:"
        yield from (f"      - {kind}: {_inline(how)}" for each in value for kind, how in each.items())
    else:
        yield f"    {key}: {scalar(value)}{comment}"


def _inline(http: Mapping[str, Any]) -> str:
    methods = http.get("methods")
    parts = [f"path: {scalar(http['path'])}"] if "path" in http else []
    parts += [f"methods: [{', '.join(methods)}]"] if methods else []
    parts += [f"host: {scalar(http['host'])}"] if "host" in http else []
    return "{" + ", ".join(parts) + "}"


def scalar(value: object) -> str:
    """As YAML, quoted where a reader could take it for something else."""
    import re

    if isinstance(value, bool | int | float):
        return (
            str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
        )
    said = str(value)
    plain = re.fullmatch(r"[A-Za-z_./][\w./@-]*", said) and said.lower() not in _WORDS
    if plain or re.fullmatch(r"\d+(\.\d+)?(ms|s|m|g)", said):
        return said
    escaped = said.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", ".", "..", "~"}
