"""What the files of Alibaba Cloud Function Compute have in common: which contract a function has, custom runtimes.

"Overview of functions" (FC 2.0): a function with an HTTP trigger is an HTTP function, whose handler takes a request and
a response. "Use an HTTP trigger to invoke a function" (FC 3.0): in a built-in runtime, the handler takes an event,
whatever triggers it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fnctl.config.detect import node, php, python
from fnctl.config.detect.contracts import candidates
from fnctl.config.detect.finding import Evidence, Finding
from fnctl.config.detect.manifests.place import Place
from fnctl.model import Contract


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


def custom_app(place: Place, key: str, name: str, path: str | None) -> Finding | None:
    """A custom runtime is any program ("Web functions"). The web app that its folder holds, or a problem where the
    folder does not tell of one: what its bootstrap file does is not read."""
    if path is None:
        return None
    folder = place.manifest.folder / path
    found = [*node.readings(folder), *python.readings(folder), *php.readings(folder)]
    apps = [finding for reading in found for finding in reading.findings if finding.contract is Contract.WEB]
    if len(apps) == 1:
        said = place.evidence(key, "contract web: a program of its own")
        own = tuple(replace(each, file=_in(path, each.file)) for each in apps[0].evidence)
        return replace(apps[0], evidence=(said, *own), path=path)
    hint = "say in a fnctl.yaml what runs: `handler:` with the file of a web app, or `command:` with any program"
    place.problem(key, f"{name} has the runtime `{place.data.get(key)}`, a program of its own", hint)
    return None


def _in(path: str, name: str) -> str:
    return name if path == "." else f"{path}/{name}"
