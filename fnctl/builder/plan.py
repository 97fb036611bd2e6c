"""A build as a value: its steps in order. Pure. What runs them is making.py, and `--dry-run` shows the same steps."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fnctl.builder import install_plan
from fnctl.builder.inputs import Inputs
from fnctl.builder.install_plan import Install
from fnctl.builder.record import Release
from fnctl.model import Function, RuntimeSpec


class Action(enum.StrEnum):
    """Everything that a build does. The order is that of every plan."""

    RUNTIMES = "runtimes"  # before all functions: the images that steps and sandboxes are made of
    COPY = "copy"
    INSTALL = "install"
    COMPILE = "compile"
    BUNDLE = "bundle"
    CACHE = "cache"  # loads the function's code once
    IMAGE = "image"
    RECORD = "record"


class Goal(enum.Enum):
    """What a build is for."""

    SERVE = "serve"  # a bundle, for `fnctl run`
    SHIP = "ship"  # the same and an image, for `fnctl build`
    EDIT = "edit"  # a bundle as fast as can be, for an edit that somebody waits for
    COMPARE = "compare"  # the bundle's contents, with fresh dependencies and nothing kept, for `--verify`


_SERVE = frozenset({Action.COPY, Action.INSTALL, Action.COMPILE, Action.BUNDLE, Action.CACHE, Action.RECORD})
ACTIONS: Mapping[Goal, frozenset[Action]] = {
    Goal.SERVE: _SERVE,
    Goal.SHIP: _SERVE | {Action.IMAGE},
    Goal.EDIT: frozenset({Action.COPY, Action.INSTALL, Action.BUNDLE}),
    Goal.COMPARE: frozenset({Action.COPY, Action.INSTALL, Action.COMPILE}),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is there of a function's build before it begins (existing.py looks). `last` is the function's release."""

    last: Release | None = None
    unchanged: bool = False  # `last` is of these very inputs, and its bundle lies as it was left
    alike: bool = False  # some version is there whose contents may turn out to be these
    installed: bool | None = False  # the dependency tree; None where its key is not known before the code is read
    distrusted: bool = False  # the tree that `last` was made with is not what was installed
    stale_cache: bool = False  # another version of the runtime made the bundle's cache
    image: bool | None = False  # `last` has the image of these inputs; None where the engine tells


@dataclass(frozen=True, slots=True)
class Step:
    """`cached`: True where its result is there, and nothing will be done; None where only the copy's contents (or the
    engine) tell. `function` is None for what a build does once for all."""

    function: str | None
    action: Action
    what: str
    cached: bool | None


@dataclass(frozen=True, slots=True)
class Plan:
    """One function's build. `inputs` and `known` are what it was made from; `force` trusts nothing that is there."""

    function: Function
    spec: RuntimeSpec
    goal: Goal
    inputs: Inputs
    known: Known
    install: Install | None
    force: bool
    steps: tuple[Step, ...]

    @property
    def runs_containers(self) -> bool:
        """Could a step of it run in a container?"""
        contained = (Action.INSTALL, Action.COMPILE, Action.CACHE)
        return any(step.action in contained and step.cached is not True for step in self.steps)

    @property
    def nothing_to_do(self) -> bool:
        return all(step.cached is True for step in self.steps)


def plan(
    function: Function, spec: RuntimeSpec, read: Inputs, goal: Goal, known: Known = Known(), *, force: bool = False
) -> Plan:
    """The plan of a build to that goal. With `force` every step is to be done."""
    install = install_plan.of(spec, read.manifests, read.provided)
    found = Known(last=known.last) if force else known
    needed = {Action.COMPILE} if spec.compile is not None and spec.compile.needed else set()
    every = _steps(function, spec, read, install, found)
    steps = [step for step in every if step.action in ACTIONS[goal] | needed]
    return Plan(function, spec, goal, read, found, install, force, tuple(_with_record(steps)))


def together(plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """Plans of one build as far as they can be told before it. Of functions that share a folder the first makes the
    bundle, and the others find it; whether an image stands on today's sandbox image, the engine tells."""
    if all(each.nothing_to_do for each in plans):
        return tuple(plans)
    told: list[Plan] = []
    for each in plans:
        shares = any((other.function.path, other.spec.name) == (each.function.path, each.spec.name) for other in told)
        known = replace(each.known, alike=each.known.alike or shares, image=None if each.known.image else False)
        told.append(plan(each.function, each.spec, each.inputs, each.goal, known, force=each.force))
    return tuple(told)


def _steps(function: Function, spec: RuntimeSpec, read: Inputs, install: Install | None, known: Known) -> list[Step]:
    """Every step that applies to the function. One that follows the copy may turn out not to be needed: where the
    contents are those of a version that is there."""
    names = [entry.name for entry in read.entries]
    later = True if known.unchanged else (None if known.alike else False)

    def step(action: Action, what: str, cached: bool | None) -> Step:
        return Step(function.name, action, what, cached)

    steps = [step(Action.COPY, f"{len(read.entries)} files of {function.path.name}/", known.unchanged)]
    if install is not None:
        words = f"dependencies of {install.words} into {install.rule.result}"
        steps.append(step(Action.INSTALL, words, _install_cached(known, later)))
    if spec.compile is not None and any(name.endswith(spec.compile.suffix) for name in names):
        steps.append(step(Action.COMPILE, f"{spec.compile.suffix} files", later))
    joined = "code and dependencies" if install is not None else "code"
    steps.append(step(Action.BUNDLE, f"{joined}, named by a digest of all contents", later))
    if spec.warm is not None and any(name.endswith(spec.warm.suffix) for name in names):
        words = f"load {function.handler} once, without network, and keep its compiled code"
        steps.append(step(Action.CACHE, words, not known.stale_cache if known.unchanged else later))
    steps.append(step(Action.IMAGE, f"{spec.name} and the bundle", known.image if known.unchanged else later))
    steps.append(step(Action.RECORD, "the function's current version; older ones than the last three go", later))
    return steps


def _install_cached(known: Known, later: bool | None) -> bool | None:
    if known.unchanged or known.installed:
        return True
    return None if known.installed is None else later


def _with_record(steps: list[Step]) -> list[Step]:
    """The record is written where a version or its image is new: not where only a cache was made anew."""
    image = next((step for step in steps if step.action is Action.IMAGE), None)
    if image is None or image.cached is True:
        return steps
    return [
        Step(step.function, step.action, step.what, image.cached) if step.action is Action.RECORD else step
        for step in steps
    ]
