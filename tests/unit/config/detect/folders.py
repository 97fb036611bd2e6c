"""What the tests of detection share: folders made of files, and the runtimes that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fnctl import catalog, config
from fnctl.config.detect import Choice, Finding
from fnctl.config.detected import Detected, detect
from fnctl.model import Contract, Function, RuntimeSpec

SHIPPED = catalog.runtimes()
# The shipped ones as if their agents spoke every contract: what detection says does not depend on it.
RUNTIMES: dict[str, RuntimeSpec] = {
    name: replace(SHIPPED[name], contracts=tuple(Contract)) for name in ("node22", "node24", "python3.13")
}
RUNTIMES["php8.4"] = RuntimeSpec("php8.4", "php", "8.4.1", Path("/"), (), contracts=tuple(Contract))


def write(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def seen(folder: Path, files: Mapping[str, str], choice: Choice | None = None) -> Detected:
    return detect(write(folder, files), RUNTIMES, choice)


def only(folder: Path, files: Mapping[str, str]) -> Finding:
    """The one function of a folder."""
    ((finding, _),) = seen(folder, files).functions.values()
    return finding


def loaded(folder: Path, files: Mapping[str, str]) -> tuple[Function, ...]:
    """The functions that `fnctl run` would serve in that folder."""
    return config.load(write(folder, files), environ={}, runtimes=RUNTIMES).functions


def places(finding: Finding) -> list[str]:
    return [each.where for each in finding.evidence]
