"""The manifests of other platforms, each kind in a file of its own; `read_all` finds and reads those of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fnctl.config.detect.finding import Finding
from fnctl.config.detect.manifests.fun import FUN
from fnctl.config.detect.manifests.kind import Kind
from fnctl.config.detect.manifests.openfaas import OPENFAAS
from fnctl.config.detect.manifests.openwhisk import OPENWHISK
from fnctl.config.detect.manifests.place import Manifest
from fnctl.config.detect.manifests.sam import SAM
from fnctl.config.detect.manifests.serverless_devs import SERVERLESS_DEVS
from fnctl.config.detect.manifests.serverless_framework import SERVERLESS_FRAMEWORK
from fnctl.config.detect.source import read_source
from fnctl.config.document import read_foreign
from fnctl.config.problems import Problem

KINDS = (SERVERLESS_DEVS, FUN, SAM, SERVERLESS_FRAMEWORK, OPENFAAS, OPENWHISK)


@dataclass(frozen=True, slots=True)
class Told:
    """What one manifest says."""

    file: str
    platform: str
    findings: tuple[Finding, ...]
    notes: tuple[Problem, ...]
    problems: tuple[Problem, ...]


def read_all(folder: Path, only: str | None = None) -> list[Told]:
    """Every manifest in `folder`, or `only` that file. A file of such a name that is something else is left out."""
    names = dict.fromkeys(name for kind in KINDS for name in kind.names)
    return [told for name in names if only in (None, name) and (told := _read(folder, name)) is not None]


def _read(folder: Path, name: str) -> Told | None:
    source = read_source(folder, name)
    if source is None:
        return None
    document = read_foreign(folder / name, name)
    if document.data is None and document.problems:
        marked = [kind.platform for kind in _kinds(name) if kind.mark in source.text]
        return Told(name, " or ".join(marked), (), (), tuple(document.problems)) if marked else None
    if not isinstance(document.data, dict):
        return None
    kind = next((each for each in _kinds(name) if each.is_one(document.data)), None)
    if kind is None:
        return None
    manifest = Manifest(folder, source, document, kind.resolver(document.data))
    found = tuple(kind.findings(manifest))
    if not found and not document.problems:
        document.problem((), "declares no function that fnctl can run")
    return Told(name, kind.platform, found, tuple(manifest.notes), tuple(document.problems))


def _kinds(name: str) -> Iterator[Kind]:
    return (kind for kind in KINDS if name in kind.names)
