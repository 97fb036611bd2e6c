"""What a folder holds, told by reading alone: other platforms' manifests first, then dependencies and code.

Nothing is imported, required or run. `look` is pure but for reading files; what is not clear comes back as several
readings, between which a person decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fnctl.config.detect import declared, node, php, python
from fnctl.config.detect.exports import elsewhere, missing_export
from fnctl.config.detect.finding import Choice, Detection, Evidence, Finding, Reading
from fnctl.config.detect.manifests import Told, read_all
from fnctl.config.problems import Problem, did_you_mean
from fnctl.model import RuntimeSpec

__all__ = ["Choice", "Detection", "Evidence", "Finding", "Reading", "look"]

# Each reads one language; other languages are told by the `detect:` rules of their runtimes.
READERS: dict[str, Callable[[Path], list[Reading]]] = {
    node.LANGUAGE: node.readings,
    python.LANGUAGE: python.readings,
    php.LANGUAGE: php.readings,
}
ANYTHING = Choice()


def look(folder: Path, runtimes: Iterable[RuntimeSpec], choice: Choice = ANYTHING) -> Detection:
    """What `folder` holds. `choice` decides where several readings fit."""
    told = read_all(folder, choice.manifest)
    if choice.manifest is not None and not told:
        return Detection(problems=(Problem(choice.manifest, None, "not a manifest that fnctl knows"),))
    if len(told) > 1:
        return Detection(problems=(_two_manifests(told),))
    if told:
        return _settled(folder, _of_manifest(told[0]))
    found = [reading for reader in READERS.values() for reading in reader(folder)]
    found += declared.readings(folder, (spec for spec in runtimes if spec.language not in READERS))
    return _settled(folder, Detection(readings=tuple(_chosen(found, choice))))


def _of_manifest(told: Told) -> Detection:
    readings = (Reading(told.findings),) if told.findings and not told.problems else ()
    return Detection(readings, f"{told.file} ({told.platform})", told.notes, (*told.problems, *_same_names(told)))


def _two_manifests(told: Sequence[Told]) -> Problem:
    first, *others = told
    listed = ", ".join(f"{each.file} ({each.platform})" for each in others)
    hint = f"choose one: fnctl init --from . --manifest {first.file}"
    return Problem(first.file, None, f"({first.platform}) is one of several manifests here: {listed}", hint)


def _same_names(told: Told) -> Iterable[Problem]:
    seen: dict[str, Finding] = {}
    for finding in told.findings:
        name = finding.name or ""
        if name in seen:
            at = finding.evidence[0]
            yield Problem(at.file, at.line, f"two functions have the name `{name}`", "rename one of them")
        seen[name] = finding


def _chosen(readings: Iterable[Reading], choice: Choice) -> list[Reading]:
    """Those that fit the choice. What no reading has leaves all of them: it is judged where it is used."""
    kept = list(readings)
    for key in ("language", "handler", "contract"):
        wanted = getattr(choice, key)
        fitting = [reading for reading in kept if all(getattr(each, key) == wanted for each in reading.findings)]
        kept = fitting if wanted is not None and fitting else kept
    return kept


def _settled(folder: Path, detection: Detection) -> Detection:
    """With handlers that a manifest names, and that are not in their files, as problems."""
    missing = [problem for finding in detection.findings for problem in _missing(folder, finding)]
    if detection.source is None or not missing:
        return detection
    return replace(detection, readings=(), problems=(*detection.problems, *missing))


def _missing(folder: Path, finding: Finding) -> Iterable[Problem]:
    """The handler or initializer of a manifest that its file, which is there, does not define."""
    for key, handler in (("handler", finding.handler), ("initializer", finding.initializer)):
        told = missing_export(folder / finding.path, finding.language, handler) if handler else None
        if told is not None:
            at = finding.line_for(key) or finding.evidence[0]
            attr = (handler or "").rpartition(".")[2]
            hint = elsewhere(folder / finding.path, finding.language, attr)
            hint = hint or (did_you_mean(attr, told.known) if told.known else None)
            yield Problem(at.file, at.line, f"{key} `{handler}`: {told.text}", hint)
