"""Build functions: read, install, compile, bundle, ship. What is there already is not made again.

A build that fails, or is killed, leaves the last version as it was: everything is made beside and renamed, and the
release record, which says what the current version is, is replaced last.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from fnctl import assets, paths
from fnctl.build import bundle as bundles
from fnctl.build import host, inputs, install, layers, make, plan, record, store
from fnctl.build import ship as shipping
from fnctl.build.install import Workshop
from fnctl.build.plan import Known, Step
from fnctl.build.record import Release
from fnctl.config.units import duration_s
from fnctl.engine.base import LABEL, LABEL_PROJECT, LABEL_ROLE, Engine
from fnctl.errors import BuildError, FnctlError, UsageError
from fnctl.model import Bundle, Function, Project, RuntimeSpec, SandboxInfo
from fnctl.paths import ProjectPaths
from fnctl.progress import Progress, Silent

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


@dataclass(frozen=True, slots=True)
class _Job:
    """One call of `build`: what is the same for each of its functions."""

    shop: Workshop
    image: str  # the sandbox image
    runtimes: Mapping[str, RuntimeSpec]
    project: Project
    force: bool
    ship: bool

    @property
    def releases(self) -> Path:
        return ProjectPaths.of(self.project.id).releases

    @property
    def progress(self) -> Progress:
        return self.shop.progress


def build(
    functions: Sequence[Function],
    *,
    engine: Engine,
    image: str,
    runtimes: Mapping[str, RuntimeSpec],
    project: Project,
    progress: Progress,
    force: bool = False,
    ship: bool = False,
) -> dict[str, Built]:
    """Bring every function's bundle, and with `ship` its image, up to its folder. Blocking.

    Raises the first function's failure (BuildError, with the tool's own output; DeadlineExceeded `build_timeout`) after
    the others have ended; a function that failed keeps its previous version. `force` trusts nothing that is there.
    """
    ProjectPaths.of(project.id).ensure()
    job = _Job(_workshop(engine, image, runtimes, project, progress), image, runtimes, project, force, ship)
    _sweep(job)
    if len(functions) == 1:
        return {functions[0].name: _guarded(job, functions[0])}
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="build") as executor:
        running = [executor.submit(_one_folder, job, group) for group in _by_folder(functions)]
        try:
            built = {name: each for future in running for name, each in future.result().items()}
            return {function.name: built[function.name] for function in functions}
        except FnctlError:
            raise
        except BaseException:
            _abandon(job, running)
            raise


def sound(built: Mapping[str, Built]) -> bool:
    """Whether every bundle's files are still what its digest says. Reads them all (1 ms a megabyte)."""
    bundles = {made.bundle.digest: made.bundle for made in built.values()}
    return all(store.damage(bundle.root, bundle.digest) is None for bundle in bundles.values())


def edited(function: Function, *, engine: Engine, image: str, spec: RuntimeSpec, project: Project) -> Bundle:
    """The folder as it is now, bundled as fast as can be (make.quick), for `fnctl run --watch`. Blocking.

    Dependencies are installed where they have changed. Remove it with `discard`.
    """
    shop = _workshop(engine, image, {spec.name: spec}, project, Silent())
    try:
        return make.quick(shop, function, spec)
    except OSError as error:
        raise BuildError(f"building {function.name} failed: {error.strerror or error}") from error


def discard(bundle: Bundle) -> None:
    """Remove what `edited` made. Instances that run it have their own links to its files."""
    store.remove(bundle.root)


def up_to_date(function: Function, spec: RuntimeSpec, project: Project, *, shipped: bool = False) -> Built | None:
    """What is there for the function, where nothing has changed since it was made. Asks no engine.

    `shipped`: with an image, over the very sandbox image that it was made for; None where that is to be made.
    """
    release = record.read(ProjectPaths.of(project.id).releases, function.name)
    if release is None or not make.is_current(release, inputs.read(function, spec)):
        return None
    built = Built(make.bundle_of(release), release.image, cached=True, install_cached=True)
    if not shipped:
        return built
    if release.image is None or release.image_base is None:
        return None
    content = shipping.content(function, built.bundle, spec, release.image_base)
    return built if shipping.key(content) == release.image_key else None


def current(project: Project, function: Function) -> Bundle | None:
    """The bundle of the function's current version, where there is one. Its files are not read."""
    release = record.read(ProjectPaths.of(project.id).releases, function.name)
    if release is None:
        return None
    bundle = make.bundle_of(release)
    return bundle if bundle.root.is_dir() else None


def steps(function: Function, spec: RuntimeSpec, project: Project, *, ship: bool = False) -> tuple[Step, ...]:
    """What `build` would do for the function now. Writes nothing, asks no engine."""
    read = inputs.read(function, spec)
    release = record.read(ProjectPaths.of(project.id).releases, function.name)
    needed = plan.installation(spec, read.manifests)
    unchanged = release is not None and make.is_current(release, read)
    installed = None
    if needed is not None and not needed.whole_folder:
        installed = install.is_installed(make.dependencies_key(needed, spec, ()))
    shipped = unchanged and release is not None and release.image is not None
    names = [entry.name for entry in read.entries]
    return plan.plan(function, spec, names, needed, Known(unchanged, installed, shipped), ship=ship)


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
    shop = _workshop(engine, image, runtimes, project, progress)
    spec = assets.runtime_of(function, runtimes)
    made = []
    for attempt in ("first", "second"):
        step = f"verify {function.name}, {attempt} build"
        progress.start(step)
        try:
            made.append(make.afresh(shop, function, spec, step))
        except BaseException:
            progress.failed(step)
            raise
        progress.done(step, f"{len(made[-1])} files")
    return bundles.differences(*made)


# -- one function ------------------------------------------------------------------------------------------------------


def _by_folder(functions: Sequence[Function]) -> list[list[Function]]:
    """Functions of one folder one after another: the first makes the bundle, the others find it."""
    groups: dict[tuple[Path, str], list[Function]] = {}
    for function in functions:
        groups.setdefault((function.path, function.runtime), []).append(function)
    return list(groups.values())


def _one_folder(job: _Job, functions: Sequence[Function]) -> dict[str, Built]:
    return {function.name: _guarded(job, function) for function in functions}


def _guarded(job: _Job, function: Function) -> Built:
    """A full disk and the like, as errors that a user can act on."""
    try:
        return _build_one(job, function)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = f": {error.filename}" if error.filename else ""
        kept = "the version before is still in place"
        raise BuildError(
            f"building {function.name} failed: {error.strerror or error}{where}",
            hint=f"free some disk (`fnctl prune` removes what nothing uses any more); {kept}" if full else kept,
            code="disk_full" if full else None,
        ) from error


def _build_one(job: _Job, function: Function) -> Built:
    spec = assets.runtime_of(function, job.runtimes)
    last = record.read(job.releases, function.name)
    made = make.release(job.shop, function, spec, last, record.every(job.releases), force=job.force)
    make.warm_anew(job.shop, function, spec, made.release)
    release, image_made = _with_image(job, function, spec, made.release) if job.ship else (made.release, False)
    if release != last:
        record.write(job.releases, release)
        shipping.prune_versions(job.project, [function], job.shop.engine)
    cached = not made.new and not image_made
    if cached:
        job.progress.start(f"build {function.name}")
        job.progress.done(f"build {function.name}", "unchanged")
    return Built(make.bundle_of(release), release.image, cached, made.install_cached)


def _with_image(job: _Job, function: Function, spec: RuntimeSpec, release: Release) -> tuple[Release, bool]:
    """The release with its image, and whether that was made now."""
    content = shipping.content(function, make.bundle_of(release), spec, job.image)
    key = shipping.key(content)
    if release.image is not None and release.image_key == key and not job.force:
        return release, False
    image = shipping.ship(content, engine=job.shop.engine, project=job.project, progress=job.progress)
    return release.shipped(image, key, content.base), True


# -- around them -------------------------------------------------------------------------------------------------------


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
    return Workshop(engine, images, project.id, host.read(os.environ, Path.home()), progress, _timeout_s())


def _timeout_s() -> float:
    text = os.environ.get("FNCTL_BUILD_TIMEOUT")
    if not text:
        return TIMEOUT_S
    try:
        return duration_s(text)
    except ValueError as error:
        raise UsageError(f"FNCTL_BUILD_TIMEOUT: {error}", hint="a duration such as 90s or 15m") from error


def _sweep(job: _Job) -> None:
    """What killed builds left: working folders, and containers of steps that nobody waits for any more."""
    for parent in (paths.bundles(), install.folder(), paths.home() / "images"):
        store.sweep(parent)
    install.sweep(time.time())
    for sandbox in _step_containers(job):
        if not store.is_alive(install.builder_pid(sandbox.name)):
            job.shop.engine.destroy(sandbox.id)


def _abandon(job: _Job, running: Sequence[Future[dict[str, Built]]]) -> None:
    """End what runs, so that the threads that wait for it end too. Bounded: a step that begins just now is caught by a
    later look."""
    job.shop.stopping.set()
    for future in running:
        future.cancel()
    for _ in range(ABANDON_LOOKS):
        for sandbox in _step_containers(job):
            if install.builder_pid(sandbox.name) == os.getpid():
                job.shop.engine.destroy(sandbox.id)
        if not wait(running, timeout=ABANDON_LOOK_S).not_done:
            return


def _step_containers(job: _Job) -> list[SandboxInfo]:
    return job.shop.engine.list({LABEL: "1", LABEL_PROJECT: job.project.id, LABEL_ROLE: "build"})
