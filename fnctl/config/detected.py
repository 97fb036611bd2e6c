"""A folder without a fnctl.yaml as the functions it would have one for. The errors where it cannot be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fnctl.config.detect import Choice, Detection, Finding, look
from fnctl.config.detect.doubt import doubt
from fnctl.config.detect.written import Written
from fnctl.config.locate import FILE_NAME
from fnctl.config.nearest import nearest
from fnctl.config.problems import Problem, failure
from fnctl.errors import NotFound
from fnctl.model import RuntimeSpec

HINT = f"fnctl init makes a project; fnctl looks for {FILE_NAME} here and above, then for a function or an app"


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
        found = ", ".join(
            f"{each.handler} as {each.contract} on {runtime}" for each, runtime in self.functions.values()
        )
        return f"no {FILE_NAME}: {self.source or 'the code'} tells of {found}; `fnctl detect` says why"


def detect(
    folder: Path, runtimes: Mapping[str, RuntimeSpec], choice: Choice | None = None, runtime: str | None = None
) -> Detected:
    """What a folder holds, decided. `runtime` is that of the functions in its language, where a person said so.

    Raises ConfigError where a manifest cannot be used, or several readings fit; NotFound where there is nothing.
    """
    detection = look(folder, runtimes.values(), choice or Choice())
    if detection.problems:
        raise failure(detection.problems)
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
    for finding in detection.findings:
        name = finding.name or function_name(folder)
        asked = runtimes.get(runtime) if runtime else None
        if asked and asked.language == finding.language:
            written[name] = (replace(finding, wanted=None), asked.name)
            continue
        found = nearest(finding.language, finding.wanted, runtimes.values())
        if found.spec is None:
            problems.append(_at_runtime(finding, f"{found.word} in function `{name}`", found.hint))
            continue
        written[name] = (finding, found.spec.name)
        if found.word:
            notes.append(_at_runtime(finding, found.word, f"say another in {FILE_NAME}: `runtime:`"))
    if problems:
        raise failure(problems)
    return Detected(folder, detection.source, written, tuple(notes))


def _at_runtime(finding: Finding, text: str, hint: str | None) -> Problem:
    at = finding.line_for("runtime") or finding.evidence[0]
    return Problem(at.file, at.line, text, hint)


def function_name(folder: Path) -> str:
    """A legal function name out of a folder's name."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:63].rstrip("-")
    return name if name and name[0].isalpha() else f"fn-{name}".rstrip("-")[:63]
