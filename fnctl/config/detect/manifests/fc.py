"""What the files of Alibaba Cloud Function Compute have in common: which contract a function has, custom runtimes.

"Overview of functions" (FC 2.0): a function with an HTTP trigger is an HTTP function, whose handler takes a request and
a response. "Use an HTTP trigger to invoke a function" (FC 3.0): in a built-in runtime, the handler takes an event,
whatever triggers it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fnctl.config.detect import node, php, python
from fnctl.config.detect.contracts import candidates
from fnctl.config.detect.finding import Evidence, Finding
from fnctl.config.detect.manifests.place import Place
from fnctl.model import Contract, HttpTrigger


@dataclass(frozen=True, slots=True)
class FcContract:
    word: Contract
    evidence: tuple[Evidence, ...] = ()


def fc_contract(folder: Path, language: str, handler: str, http: bool, third: bool) -> FcContract:
    """By the trigger, and by the handler's own parameters where they are those of an HTTP function.

    `third`: FC 3.0, where an HTTP trigger hands an event to the handler. Functions that were HTTP functions keep their
    parameters, which then decide.
    """
    if not third:
        return FcContract(Contract.FC_HTTP if http else Contract.FC_EVENT)
    reader = {"node": node.signature, "python": python.signature}.get(language)
    found = reader(folder, handler)[0] if reader else None
    told = candidates(found, {}) if found else {}
    by_shape = next((told[each] for each in (Contract.FC_HTTP, Contract.WEB) if each in told), None)
    if by_shape:
        return FcContract(Contract.FC_HTTP, tuple(by_shape))
    return FcContract(Contract.FC3_HTTP if http else Contract.FC_EVENT)


ALL_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD"})  # without PATCH and OPTIONS, which came later
PORT = "9000"  # "Overview of custom runtimes": where a program listens that is told no other port
# The interpreter that a command begins with, which says whose packages it needs.
_LANGUAGES = {"node": "node", "npm": "node", "npx": "node", "yarn": "node", "pnpm": "node", "php": "php"}
_PYTHON = re.compile(r"(python|pip)[\d.]*|gunicorn|uvicorn|hypercorn|flask|waitress-serve|streamlit|daphne")


def custom_app(
    place: Place, key: str, name: str, path: str | None, settings: Place | None = None, port: str | None = None
) -> Finding | None:
    """A custom runtime is any program ("Web functions"): the command that `settings` has, else the web app that the
    folder holds, else its `bootstrap`. A problem where there is none of these."""
    if path is None:
        return None
    if settings and (command := settings.texts("command")):
        command += settings.texts("args")
        said = settings.evidence("command", f"command {' '.join(command)}: a custom program")
        return _program(place, tuple(command), path, settings.text("port") or port or PORT, said)
    folder = place.manifest.folder / path
    found = [*node.readings(folder), *python.readings(folder), *php.readings(folder)]
    apps = [finding for reading in found for finding in reading.findings if finding.contract is Contract.WEB]
    if len(apps) == 1:
        said = place.evidence(key, "contract web: a custom program")
        own = tuple(replace(each, file=_in(path, each.file)) for each in apps[0].evidence)
        return replace(apps[0], evidence=(said, *own), path=path)
    if not apps and (folder / "bootstrap").is_file():
        said = place.evidence(key, "command ./bootstrap: the program of a custom runtime")
        return _program(place, ("./bootstrap",), path, port or PORT, said)
    hint = "say in a fnctl.yaml what runs: `handler:` with the file of a web app, or `command:` with any program"
    place.problem(key, f"{name} has the runtime `{place.data.get(key)}`, a custom program", hint)
    return None


def method_routes(methods: list[str]) -> tuple[HttpTrigger, ...]:
    """A trigger that takes some methods only, as a route: the platform answers others with 405. None where it takes all
    that it knows of: then the function keeps its usual addresses."""
    named = frozenset(method.upper() for method in methods)
    return (HttpTrigger(methods=named),) if named and not named >= ALL_METHODS else ()


def custom_limits(app: Finding, limits: dict[str, Any]) -> Finding:
    """With what the manifest says beside the code; a program's own variables stay, where the manifest has no such."""
    own = {**dict(app.environment), **dict(limits["environment"])}
    return replace(app, **{**limits, "environment": tuple(own.items())})


def _program(place: Place, command: tuple[str, ...], path: str, port: str, said: Evidence) -> Finding:
    """Its port is in its environment, as the platform has it and as a command is told here."""
    word = command[0].rpartition("/")[2]
    language = _LANGUAGES.get(word) or ("python" if _PYTHON.fullmatch(word) else "")
    environment = (("FC_SERVER_PORT", port), ("PORT", port))
    return Finding(language, "", Contract.COMMAND, (said,), path=path, command=command, environment=environment)


def _in(path: str, name: str) -> str:
    return name if path == "." else f"{path}/{name}"
