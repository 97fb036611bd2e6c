"""Which dependencies a build installs, and the key of the result. Pure; dependencies.py installs."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fnctl.builder import inputs, locks, manifest
from fnctl.builder.bundle import Item
from fnctl.builder.provided import Provided
from fnctl.errors import BuildError
from fnctl.model import InstallRule, RuntimeSpec


@dataclass(frozen=True, slots=True)
class Install:
    """Dependencies to be installed. `files` are all that the step sees, unless `whole_folder`."""

    rule: InstallRule
    files: tuple[tuple[str, bytes], ...]
    whole_folder: bool
    provided: Provided | None = None

    @property
    def words(self) -> str:
        """Of what they are: the files that name them."""
        return "; ".join(
            [
                *([", ".join(self.rule.files)] if self.rule.files else []),
                *([self.provided.words] if self.provided else []),
            ]
        )

    def key(self, identity: Sequence[str], machine: str, code: Sequence[Item]) -> str:
        """Names the result: over all it depends on. The code counts only where the step reads it."""
        rule = self.rule
        parts: list[object] = [list(identity), machine, rule.run, rule.result, rule.environment, rule.tools]
        parts += [[name, hashlib.sha256(content).hexdigest()] for name, content in self.files]
        if self.whole_folder:
            parts.append([(item.name, item.kind, item.value) for item in code])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def of(spec: RuntimeSpec, manifests: Mapping[str, bytes], provided: Provided | None = None) -> Install | None:
    """What files ask for, and what the function's platform has beside it. Raises as `asked_for` does."""
    asked = asked_for(spec, manifests)
    if provided is None:
        return asked
    extra = provided.rule
    run = (*extra.run, *provided.packages)
    if asked is None:
        return Install(InstallRule((), run, extra.result, extra.environment), (), False, provided)
    both = ("/bin/sh", "-e", "-c", f"{shlex.join(asked.rule.run)}\n{shlex.join(run)}")
    rule = replace(asked.rule, run=both, environment=(*extra.environment, *asked.rule.environment))
    return replace(asked, rule=rule, provided=provided)


def asked_for(spec: RuntimeSpec, manifests: Mapping[str, bytes]) -> Install | None:
    """By the first rule of the runtime that applies; None where none does, or their files name nothing.

    BuildError where the dependencies are written in a way that nothing here can install.
    """
    for rule in _applying(spec, manifests):
        named = {name: manifests[name] for name in rule.files}
        if not manifest.anything(_deciding(rule, named)):
            continue
        if rule.refuse is not None:
            raise BuildError(rule.refuse, hint=rule.hint)
        beside = {name: manifests[name] for name in manifest.BESIDE if name in manifests}
        return Install(rule, tuple(sorted((named | beside).items())), manifest.needs_folder(named | beside))
    return None


def applies(rule: InstallRule, manifests: Mapping[str, bytes]) -> bool:
    """Are all of its files there, with the text that it looks for?"""
    if not all(name in manifests for name in rule.files):
        return False
    text = manifests[rule.files[-1]].decode("utf-8", "replace") if rule.text is not None else ""
    return rule.text is None or re.search(rule.text, text, re.MULTILINE) is not None


def _applying(spec: RuntimeSpec, manifests: Mapping[str, bytes]) -> list[InstallRule]:
    """In their order, but those of the package manager that package.json asks for before the others."""
    found = [rule for rule in spec.install if applies(rule, manifests)]
    wanted = manifest.manager(manifests) if found else ""
    return sorted(found, key=lambda rule: not (wanted and any(tool.startswith(wanted) for tool in rule.tools)))


def _deciding(rule: InstallRule, named: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """A lock file of Python says all that is installed; the file that it was made from may say it in any way."""
    locked = {name: content for name, content in named.items() if name in locks.OF_PYTHON}
    return locked or named


def key(needed: Install, spec: RuntimeSpec, code: Sequence[Item]) -> str:
    """The key of what is installed on this machine, by this runtime."""
    identity = [str(inputs.FORMAT), *inputs.runtime_identity(spec)]
    return needed.key(identity, platform.machine().lower(), code)
