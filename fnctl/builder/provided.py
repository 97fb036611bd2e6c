"""Packages that a function's platform has in its own runtime: which of them its code imports and no file asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fnctl.builder import manifest
from fnctl.builder.tree import Entry
from fnctl.model import Function, ProvideRule, RuntimeSpec

MAX_FILES, MAX_BYTES = 1000, 1 << 20  # that are looked into: more is no code that people write


@dataclass(frozen=True, slots=True)
class Provided:
    """`packages`, sorted, as the rule installs them."""

    rule: ProvideRule
    packages: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"{', '.join(self.packages)}: imported, asked for in no file, as on {self.rule.platform}"


def look(
    function: Function, spec: RuntimeSpec, entries: Iterable[Entry], manifests: Mapping[str, bytes]
) -> Provided | None:
    """Reads the sources of functions for such a platform alone."""
    rule = next((each for each in spec.provides if each.contract is function.contract), None)
    if rule is None:
        return None
    there = list(entries)
    names = {entry.name.split("/")[0] for entry in there}
    imported = {name for text in _sources(function.path, spec, there) for name in _imports(rule, text)}
    wanted = [name for name in imported if name not in names and not manifest.asks_for(name, manifests)]
    packages = sorted({rule.package.replace("{name}", name) for name in wanted})
    return Provided(rule, tuple(packages)) if packages else None


def _imports(rule: ProvideRule, text: str) -> Iterable[str]:
    return (found[1] for found in re.finditer(rule.imports, text, re.MULTILINE))


def _sources(folder: Path, spec: RuntimeSpec, entries: list[Entry]) -> Iterable[str]:
    code = [each for each in entries if each.name.endswith(spec.code.suffixes) and 0 < each.size <= MAX_BYTES]
    for entry in code[:MAX_FILES]:
        try:
            yield (folder / entry.name).read_text("utf-8", "replace")
        except OSError:  # gone since the folder was read: the copy will tell
            continue
