"""A folder without a fnctl.yaml as the functions it would have one for. The errors where it cannot be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fnctl.catalog import command_runtime
from fnctl.config.detect import Choice, Detection, Finding, look
from fnctl.config.detect.doubt import doubt
from fnctl.config.detect.manifests.translations import name_of
from fnctl.config.detect.written import Written
from fnctl.config.keys import MIN_MEMORY_MB
from fnctl.config.locate import FILE_NAME
from fnctl.config.nearest_runtime import nearest
from fnctl.config.overrides import chosen
from fnctl.config.problems import Problem, failure
from fnctl.errors import NotFound
from fnctl.model import RuntimeSpec

ENV_FILE = ".env"  # beside the code: variables of its functions
# What other tools read and fnctl does not.
NOT_READ = {
    "docker-compose.yml": "its services and variables", "docker-compose.yaml": "its services and variables",
    "compose.yaml": "its services and variables", "compose.yml": "its services and variables",
    "Dockerfile": "what it installs and sets", ".env.local": "its variables", ".env.production": "its variables",
}  # fmt: skip
HINT = f"`fnctl init` creates a project; fnctl looks for {FILE_NAME} in this folder and its parents, then for an app"


@dataclass(frozen=True, slots=True)
class Detected:
    """`functions`: by name, what was found and the runtime that it gets. `notes` have their places in them."""

    folder: Path
    source: str | None
    functions: Written
    notes: tuple[Problem, ...]

    @property
    def words(self) -> str:
        """One line for who runs it: they should know that nobody wrote this down."""
        found = ", ".join(f"{each.starts} as {each.contract} on {runtime}" for each, runtime in self.functions.values())
        return f"no {FILE_NAME}: found {found} in {self.source or 'the code'}; `fnctl detect` shows why{self.mapped}"

    @property
    def env_file(self) -> str | None:
        return ENV_FILE if (self.folder / ENV_FILE).is_file() else None

    @property
    def left_out(self) -> tuple[str, ...]:
        """Files with settings that nothing of is taken over, with what they hold."""
        there = [(name, what) for name, what in NOT_READ.items() if (self.folder / name).is_file()]
        return tuple(f"{name} is not read: {what} are not taken over" for name, what in there)

    @property
    def mapped(self) -> str:
        """Which functions have another name here than in the folder: in words, with `; ` before; empty where none has.
        A name of ours is part of an address."""
        pairs = [(each.called or each.name, name) for name, (each, _) in self.functions.items()]
        told = [f"`{called}` is called `{name}` here" for called, name in pairs if called not in (None, name)]
        return f"; {', '.join(told)}" if told else ""


def detect(
    folder: Path, runtimes: Mapping[str, RuntimeSpec], choice: Choice | None = None, runtime: str | None = None
) -> Detected:
    """What a folder holds, decided. `runtime` is that of the functions in its language, where a person said so.

    Raises ConfigError where a manifest cannot be used, or several readings fit; NotFound where there is nothing.
    """
    detection = look(folder, runtimes.values(), choice or Choice())
    if detection.problems:
        raise failure(detection.problems)
    if choice is not None:
        detection = chosen(folder, detection, choice, runtimes, runtime)
    if not detection.readings:
        raise NotFound(f"no {FILE_NAME} and no app found in {folder}", hint=HINT)
    if len(detection.readings) > 1:
        raise doubt(f"{folder.name}/", detection.readings, runtimes.values())
    return _with_runtimes(folder, detection, runtimes, runtime)


def _with_runtimes(
    folder: Path, detection: Detection, runtimes: Mapping[str, RuntimeSpec], runtime: str | None
) -> Detected:
    written: dict[str, tuple[Finding, str]] = {}
    notes, problems = list(detection.notes), []
    for finding in map(partial(_roomy, notes), detection.findings):
        name = _name(finding, folder, written)
        asked = runtimes.get(runtime) if runtime else None
        if finding.command and not finding.language:
            written[name] = (finding, command_runtime(runtimes).name)
            continue
        if asked and asked.language == finding.language:
            written[name] = (replace(finding, wanted=None), asked.name)
            continue
        found = nearest(finding.language, finding.wanted, runtimes.values())
        if found.spec is None:
            problems.append(_at_runtime(finding, f"{found.word} in function `{name}`", found.hint))
            continue
        written[name] = (finding, found.spec.name)
        if found.word:
            notes.append(_at_runtime(finding, found.word, f"set another with `runtime:` in {FILE_NAME}"))
    if problems:
        raise failure(problems)
    return Detected(folder, detection.source, written, tuple(notes))


def _roomy(notes: list[Problem], finding: Finding) -> Finding:
    """With the memory that an interpreter needs to start: platforms that count the function alone are given less."""
    if finding.memory_mb is None or finding.memory_mb >= MIN_MEMORY_MB:
        return finding
    text = f"memory of {finding.memory_mb} MB is raised to {MIN_MEMORY_MB} MB, the least that an interpreter starts in"
    at = finding.evidence[0]
    notes.append(Problem(at.file, at.line, text))
    return replace(finding, memory_mb=MIN_MEMORY_MB)


def _name(finding: Finding, folder: Path, taken: Mapping[str, object]) -> str:
    """A legal name that no other has: other platforms' may hold what none of ours does."""
    if finding.name is None:
        return function_name(folder)
    name, number = name_of(finding.name), 1
    while name in taken:
        number += 1
        name = f"{name_of(finding.name)[:60]}-{number}"
    return name


def _at_runtime(finding: Finding, text: str, hint: str | None) -> Problem:
    at = finding.line_for("runtime") or finding.evidence[0]
    return Problem(at.file, at.line, text, hint)


def function_name(folder: Path) -> str:
    """A legal function name out of a folder's name."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:63].rstrip("-")
    return name if name and name[0].isalpha() else f"fn-{name}".rstrip("-")[:63]
