"""What a folder holds by the `detect:` rules of the runtimes that are there, for languages that fnctl cannot read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fnctl.config.detect.finding import Evidence, Finding, Reading, one
from fnctl.config.detect.source import Source, read_source
from fnctl.model import DetectRule, RuntimeSpec

MAX_FILES = 200  # looked into, of those that a pattern matches


def readings(folder: Path, runtimes: Iterable[RuntimeSpec]) -> list[Reading]:
    """One reading a language: its first rule that holds."""
    found: dict[str, Reading] = {}
    for spec in runtimes:
        for rule in spec.detect:
            finding = None if spec.language in found else _holds(folder, spec.language, rule)
            if finding is not None:
                found[spec.language] = one(finding)
    return list(found.values())


def _holds(folder: Path, language: str, rule: DetectRule) -> Finding | None:
    beside = [source for name in rule.beside if (source := read_source(folder, name)) is not None]
    if len(beside) < len(rule.beside):
        return None
    for source in _files(folder, rule.file):
        match = re.compile(rule.text, re.MULTILINE).search(source.text) if rule.text else None
        if rule.text and match is None:
            continue
        names = {"file": source.name, "stem": source.name.rsplit(".", 1)[0], **(match.groupdict() if match else {})}
        handler = rule.handler
        for name, value in names.items():
            handler = handler.replace(f"{{{name}}}", value or "")
        line = source.line_at(match.start()) if match else 1
        said = source.evidence(line, f"contract {rule.contract}, handler {handler}: {language} code")
        others = (Evidence(each.name, 1, each.line(1), f"runtime {language}") for each in beside)
        return Finding(language, handler, rule.contract, (said, *others))
    return None


def _files(folder: Path, pattern: str) -> Iterator[Source]:
    for path in sorted(folder.glob(pattern))[:MAX_FILES]:
        if source := read_source(folder, path.relative_to(folder).as_posix()):
            yield source
