"""Builds of a project's functions: one plan each (plan.py), run side by side (making.py).

A build that fails, or is killed, leaves the last version as it was: everything is made beside and renamed, and the
release record, which says what the current version is, is replaced last.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fnctl import catalog, paths
from fnctl.builder import bundle as bundles
from fnctl.builder import code_cache, existing, inputs, making, plan, record, store, tools
from fnctl.builder import dependencies as install
from fnctl.builder import host_settings as host
from fnctl.builder import layer_images as layers
from fnctl.builder.dependencies import Workshop
from fnctl.builder.making import BuildEnvironment
from fnctl.builder.plan import Goal, Known, Plan
from fnctl.builder.record import Release
from fnctl.config.units import duration_s
from fnctl.engine import ownership
from fnctl.engine.port import LABEL_ROLE, Engine
from fnctl.errors import BuildError, FnctlError, UsageError
from fnctl.model import Bundle, Function, Project, RuntimeSpec, SandboxInfo
from fnctl.paths import ProjectPaths
from fnctl.progress import Progress, Silent, told

PARALLEL = 2  # installs wait on the network for the most part, but compilers and unpacking do not
TIMEOUT_S = 900.0  # of one step in a container
ABANDON_LOOKS, ABANDON_LOOK_S = 20, 0.5


@dataclass(frozen=True, slots=True)
class Built:
    """`cached`: nothing was made for it. `install_cached`: its dependencies were there (or it has none)."""

    bundle: Bundle
    image: str | None
    cached: bool
    install_cached: bool


def build(
    functions: Sequence[Function],
    *,
    engine: Engine,
    image: str,
    runtimes: Mapping[str, RuntimeSpec],
    project: Project,
    progress: Progress,
    goal: Goal = Goal.SERVE,
    force: bool = False,
) -> dict[str, Built]:
    """Bring every function up to its folder: plan its build, and run the plan. Blocking.

    Raises the first function's failure (BuildError, with the tool's own output; DeadlineExceeded `build_timeout`) after
    the others have ended; a function that failed keeps its previous version. `force` trusts nothing that is there.
    """
    ProjectPaths.of(project.id).ensure()
    environment = BuildEnvironment(_workshop(engine, image, runtimes, project, progress), project, image)
    one = partial(_build_one, environment, runtimes, goal, force=force)
    _sweep(environment)
    if len(functions) == 1:
        return {functions[0].name: one(functions[0])}
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="build") as executor:
        running = [executor.submit(_one_folder, one, group) for group in _by_folder(functions)]
        try:
            built = {name: each for future in running for name, each in future.result().items()}
            return {function.name: built[function.name] for function in functions}
        except FnctlError:
            raise
        except BaseException:
            _abandon(environment, running)
            raise


def sound(built: Mapping[str, Built]) -> bool:
    """Whether every bundle's files are still what its digest says. Reads them all (1 ms a megabyte)."""
    bundles = {made.bundle.digest: made.bundle for made in built.values()}
    return all(store.damage(bundle.root, bundle.digest) is None for bundle in bundles.values())


def edited(function: Function, *, engine: Engine, image: str, spec: RuntimeSpec, project: Project) -> Bundle:
    """The folder as it is now, bundled as fast as can be (Goal.EDIT), for `fnctl run --watch`. Blocking.

    Dependencies are installed where they have changed. Remove it with `discard`.
    """
    shop = _workshop(engine, image, {spec.name: spec}, project, Silent())
    try:
        read = inputs.read(function, spec)
        quick = plan.plan(function, spec, read, Goal.EDIT, Known(installed=existing.installed(spec, read)))
        return existing.bundle_of(making.run(quick, BuildEnvironment(shop, project, image)).finished)
    except OSError as error:
        raise BuildError(f"building {function.name} failed: {error.strerror or error}") from error


def warm(
    function: Function,
    spec: RuntimeSpec,
    bundle: Bundle,
    *,
    engine: Engine,
    image: str,
    project: Project,
    progress: Progress,
) -> None:
    """Give a bundle that came from elsewhere the cache that a build here would have left. Blocking."""
    if spec.warm is None or ((bundle.root / bundles.DERIVED).is_dir() and not code_cache.is_stale(bundle.root, spec)):
        return
    shop = _workshop(engine, image, {function.runtime: spec}, project, progress)
    shop = replace(shop, image_of=lambda runtime: image)
    with told(progress, f"cache {function.name}"), store.working_folder(paths.bundles()) as work:
        code_cache.fill(shop, function, spec, bundle.root, work)


def is_stale(function: Function, spec: RuntimeSpec, project: Project) -> bool:
    """Whether the folder may be another than the one that the current version was made from. Reads no contents."""
    release = record.read(ProjectPaths.of(project.id).releases, function.name)
    try:
        return release is None or not existing.is_current(release, inputs.read(function, spec))
    except (BuildError, OSError):
        return True  # a build says why


def discard(bundle: Bundle) -> None:
    """Remove what `edited` made, unless it is a recorded version too: an edit that was taken back. Instances that run
    it have their own links to its files."""
    if bundle.digest not in record.digests_in_use(paths.home() / "projects"):
        store.remove(bundle.root)


def plans(
    functions: Sequence[Function],
    runtimes: Mapping[str, RuntimeSpec],
    project: Project,
    goal: Goal,
    *,
    force: bool = False,
) -> tuple[Plan, ...]:
    """What `build` would do now, for all that can be told without the engine. Writes nothing, asks no engine."""
    return plan.together([_plan(function, runtimes, project, goal, force=force) for function in functions])


def found(plans: Sequence[Plan]) -> dict[str, Built]:
    """What is there already of plans with nothing to do."""
    lasts = [(each.function.name, each.known.last) for each in plans]
    return {name: _built(last, new=False, installed=False) for name, last in lasts if last is not None}


def current(project: Project, function: Function) -> Bundle | None:
    """The bundle of the function's current version, where there is one. Its files are not read."""
    release = record.read(ProjectPaths.of(project.id).releases, function.name)
    if release is None:
        return None
    bundle = existing.bundle_of(release)
    return bundle if bundle.root.is_dir() else None


def verify(
    function: Function,
    *,
    engine: Engine,
    image: str,
    runtimes: Mapping[str, RuntimeSpec],
    project: Project,
    progress: Progress,
) -> tuple[str, ...]:
    """Build the bundle twice, with fresh installs, and compare; the names that differ. Leaves nothing behind."""
    environment = BuildEnvironment(_workshop(engine, image, runtimes, project, progress), project, image)
    spec = catalog.runtime_of(function, runtimes)
    made = []
    for attempt in ("first", "second"):
        with told(progress, f"verify {function.name}, {attempt} build") as tell:
            comparing = plan.plan(function, spec, inputs.read(function, spec), Goal.COMPARE)
            made.append(making.run(comparing, environment).joined())
            tell(f"{len(made[-1])} files")
    return bundles.differences(*made)


# -- one function ------------------------------------------------------------------------------------------------------


def _by_folder(functions: Sequence[Function]) -> list[list[Function]]:
    """Functions of one folder one after another: the first makes the bundle, the others find it."""
    groups: dict[tuple[Path, str], list[Function]] = {}
    for function in functions:
        groups.setdefault((function.path, function.runtime), []).append(function)
    return list(groups.values())


def _one_folder(one: Callable[[Function], Built], functions: Sequence[Function]) -> dict[str, Built]:
    return {function.name: one(function) for function in functions}


def _build_one(
    environment: BuildEnvironment, runtimes: Mapping[str, RuntimeSpec], goal: Goal, function: Function, *, force: bool
) -> Built:
    """Plan and run. A full disk and the like are errors that a user can act on."""
    try:
        planned = _plan(function, runtimes, environment.project, goal, environment.image, force=force)
        made = making.run(planned, environment)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = f": {error.filename}" if error.filename else ""
        kept = "the previous version is still in place"
        raise BuildError(
            f"building {function.name} failed: {error.strerror or error}{where}",
            hint=f"free disk space (`fnctl prune --machine` removes what is unused); {kept}" if full else kept,
            code="disk_full" if full else None,
        ) from error
    built = _built(made.finished, new=made.new_version or made.new_image, installed=made.installed)
    if built.cached:
        environment.shop.progress.start(f"build {function.name}")
        environment.shop.progress.done(f"build {function.name}", "unchanged")
    return built


def _plan(
    function: Function,
    runtimes: Mapping[str, RuntimeSpec],
    project: Project,
    goal: Goal,
    image: str | None = None,
    *,
    force: bool,
) -> Plan:
    spec = catalog.runtime_of(function, runtimes)
    read = inputs.read(function, spec)
    try:
        there = existing.look(function, spec, read, ProjectPaths.of(project.id).releases, image)
    except BuildError as error:  # of a dependency file that nothing can install: in whose folder?
        raise BuildError(f"{function.path.name}/{error.message}", hint=error.hint, detail=error.detail) from error
    return plan.plan(function, spec, read, goal, there, force=force)


def _built(release: Release, *, new: bool, installed: bool) -> Built:
    return Built(existing.bundle_of(release), release.image, cached=not new, install_cached=not installed)


# -- around them -------------------------------------------------------------------------------------------------------


class _StepTools:
    """Where the tools that a runtime's rules name lie on this machine, fetched when they are asked for."""

    def __init__(self, runtimes: Mapping[str, RuntimeSpec], progress: Progress) -> None:
        self._runtimes = runtimes
        self._progress = progress
        self._lock = threading.Lock()  # functions are built side by side

    def __call__(self, runtime: str, tool: str) -> Path:
        with self._lock:
            return tools.place(catalog.read_layer(self._runtimes[runtime].folder), tool, self._progress)


class _StepImages:
    """Which image a runtime's steps run in: the sandbox image, unless the runtime has one for builds. Made once."""

    def __init__(self, engine: Engine, image: str, runtimes: Mapping[str, RuntimeSpec], progress: Progress) -> None:
        self._engine = engine
        self._image = image
        self._runtimes = runtimes
        self._progress = progress
        self._made: dict[str, str] = {}
        self._lock = threading.Lock()  # functions are built side by side

    def __call__(self, runtime: str) -> str:
        with self._lock:
            if runtime not in self._made:
                own = layers.build_image(self._engine, self._runtimes[runtime], self._progress)
                self._made[runtime] = own or self._image
            return self._made[runtime]


def _workshop(
    engine: Engine, image: str, runtimes: Mapping[str, RuntimeSpec], project: Project, progress: Progress
) -> Workshop:
    images = _StepImages(engine, image, runtimes, progress)
    settings = host.read(os.environ, Path.home())
    tools, owner = _StepTools(runtimes, progress), ownership.labels(project)
    return Workshop(engine, images, tools, owner, settings, progress, _timeout_s())


def _timeout_s() -> float:
    text = os.environ.get("FNCTL_BUILD_TIMEOUT")
    if not text:
        return TIMEOUT_S
    try:
        return duration_s(text)
    except ValueError as error:
        raise UsageError(f"FNCTL_BUILD_TIMEOUT: {error}", hint="a duration such as 90s or 15m") from error


def _sweep(environment: BuildEnvironment) -> None:
    """What killed builds left: working folders, and containers of steps that nobody waits for any more."""
    for parent in (paths.bundles(), install.folder(), paths.home() / "images"):
        store.sweep(parent)
    install.sweep(time.time())
    for sandbox in _step_containers(environment):
        if not store.is_alive(install.builder_pid(sandbox.name)):
            environment.shop.engine.destroy(sandbox.id)


def _abandon(environment: BuildEnvironment, running: Sequence[Future[dict[str, Built]]]) -> None:
    """End what runs, so that the threads that wait for it end too. Bounded: a step that begins just now is caught by a
    later look."""
    environment.shop.stopping.set()
    for future in running:
        future.cancel()
    for _ in range(ABANDON_LOOKS):
        for sandbox in _step_containers(environment):
            if install.builder_pid(sandbox.name) == os.getpid():
                environment.shop.engine.destroy(sandbox.id)
        if not wait(running, timeout=ABANDON_LOOK_S).not_done:
            return


def _step_containers(environment: BuildEnvironment) -> list[SandboxInfo]:
    return environment.shop.engine.list({**ownership.owned(environment.project.id), LABEL_ROLE: "build"})
