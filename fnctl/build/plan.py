"""What a build would do, as a value: which dependencies to install, and the steps that `--dry-run` shows. Pure."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fnctl.build import manifest
from fnctl.build.bundle import Item
from fnctl.model import Function, InstallRule, RuntimeSpec


class Action(enum.StrEnum):
    INSTALL = "install"
    COMPILE = "compile"
    BUNDLE = "bundle"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Step:
    """`cached`: its result is there already, so that nothing will be done; None where only doing it tells."""

    function: str
    action: Action
    what: str
    cached: bool | None


@dataclass(frozen=True, slots=True)
class Install:
    """Dependencies to be installed. `files` are all that the step sees, unless `whole_folder`."""

    rule: InstallRule
    files: tuple[tuple[str, bytes], ...]
    whole_folder: bool

    def key(self, identity: Sequence[str], machine: str, code: Sequence[Item]) -> str:
        """Names the result: over all it depends on. The code counts only where the step reads it."""
        parts: list[object] = [list(identity), machine, self.rule.run, self.rule.result, self.rule.environment]
        parts += [[name, hashlib.sha256(content).hexdigest()] for name, content in self.files]
        if self.whole_folder:
            parts.append([(item.name, item.kind, item.value) for item in code])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def installation(spec: RuntimeSpec, manifests: Mapping[str, bytes]) -> Install | None:
    """The first rule of the runtime whose files are all there; None where there is none, or they name nothing."""
    for rule in spec.install:
        if all(name in manifests for name in rule.files):
            named = {name: manifests[name] for name in rule.files}
            if not manifest.anything(named):
                return None
            beside = {name: manifests[name] for name in manifest.BESIDE if name in manifests}
            return Install(rule, tuple(sorted((named | beside).items())), manifest.needs_folder(named))
    return None


@dataclass(frozen=True, slots=True)
class Known:
    """What is there already, as the disk told."""

    unchanged: bool  # the bundle of these very inputs
    installed: bool | None  # the dependency tree; None where its key is not known before the code is read
    shipped: bool  # the image of that bundle


def plan(
    function: Function, spec: RuntimeSpec, names: Sequence[str], install: Install | None, known: Known, *, ship: bool
) -> tuple[Step, ...]:
    """The steps of one function's build, in order. `names` are the files of its folder."""
    steps: list[Step] = []
    if install is not None:
        words = f"dependencies of {', '.join(install.rule.files)} into {install.rule.result}"
        steps.append(Step(function.name, Action.INSTALL, words, known.unchanged or known.installed))
    if spec.compile is not None and any(name.endswith(spec.compile.suffix) for name in names):
        steps.append(Step(function.name, Action.COMPILE, f"{spec.compile.suffix} files", known.unchanged))
    steps.append(Step(function.name, Action.BUNDLE, f"{len(names)} files of {function.path.name}/", known.unchanged))
    if ship:
        steps.append(Step(function.name, Action.IMAGE, f"{spec.name} and the bundle", known.shipped))
    return tuple(steps)
