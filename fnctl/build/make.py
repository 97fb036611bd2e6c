"""One function's bundle: its folder copied, compiled, joined with its dependencies, and named by its digest."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fnctl import paths
from fnctl.build import bundle as bundles
from fnctl.build import inputs, install, plan, store, warm
from fnctl.build.bundle import Item
from fnctl.build.inputs import Inputs
from fnctl.build.install import Dependencies, Workshop
from fnctl.build.plan import Install
from fnctl.build.record import Release
from fnctl.model import Bundle, Function, RuntimeSpec


@dataclass(frozen=True, slots=True)
class Made:
    """`new`: a bundle was made; else the last release's stands. `install_cached`: nothing was installed for it."""

    release: Release
    new: bool
    install_cached: bool


@dataclass(frozen=True, slots=True)
class Staged:
    """The folder's own files, copied to `root` and read once."""

    root: Path
    code: tuple[Item, ...]
    install: Install | None
    key: str | None  # of the dependencies
    source: str  # over everything the bundle will be made from


def bundle_of(release: Release) -> Bundle:
    return Bundle(
        function=release.function,
        digest=release.digest,
        root=bundles.folder(paths.bundles(), release.digest),
        runtime=release.runtime,
        handler=release.handler,
        size_bytes=release.size_bytes,
        files=release.files,
    )


def is_current(release: Release, read: Inputs) -> bool:
    """Is the release that of these inputs, and its bundle there as it was left?"""
    return read.fingerprint is not None and release.fingerprint == read.fingerprint and is_sealed(release)


def is_sealed(release: Release) -> bool:
    return store.seal(bundle_of(release).root) == release.seal


def dependencies_key(needed: Install, spec: RuntimeSpec, code: Sequence[Item]) -> str:
    identity = [str(inputs.FORMAT), *inputs.runtime_identity(spec)]
    return needed.key(identity, platform.machine().lower(), code)


def release(
    shop: Workshop,
    function: Function,
    spec: RuntimeSpec,
    last: Release | None,
    others: Iterable[Release],
    *,
    force: bool,
) -> Made:
    """The release of what lies in the folder: the last one where that is still it. `force` makes everything anew.

    `others` are releases of the project's functions: several of one folder share one bundle.
    """
    read = inputs.read(function, spec)
    if last is not None and not force and is_current(last, read):
        return Made(last, new=False, install_cached=True)
    with store.working_folder(paths.bundles()) as work:
        staged = _stage(function, spec, read, work)
        # a file that changed while it was copied: the copy is a bundle, but not that of the folder as it is by now
        unmoved = inputs.read(function, spec).entries == read.entries
        fingerprint = read.fingerprint if unmoved else None
        same = last if last is not None and last.source == staged.source else None
        if same is not None and not force and is_sealed(same):
            return Made(_renewed(same, function, fingerprint), new=False, install_cached=True)
        twin = next((other for other in others if other.source == staged.source and is_sealed(other)), None)
        if twin is not None and same is None and not force:
            shared = replace(_shared(twin, function), fingerprint=fingerprint).succeeding(last)
            return Made(shared, new=True, install_cached=True)
        # The same source, another seal: something was done to the stored files, and maybe to those they are linked to.
        distrust = force or (same is not None and staged.key is not None and not install.is_sound(staged.key))
        fresh, dependencies = _finish(shop, function, spec, read, staged, distrust=distrust)
        fresh = replace(fresh, fingerprint=fingerprint).succeeding(last)
        return Made(fresh, new=True, install_cached=dependencies is None or dependencies.cached)


def warm_anew(shop: Workshop, function: Function, spec: RuntimeSpec, current: Release) -> None:
    """Make the bundle's cache anew where another version of the runtime left it."""
    root = bundle_of(current).root
    if spec.warm is None or not warm.is_stale(root, spec):
        return
    step = f"cache {function.name}"
    shop.progress.start(step)
    try:
        with store.working_folder(paths.bundles()) as work:
            warm.fill(shop, function, spec, root, work)
    except BaseException:
        shop.progress.failed(step)
        raise
    shop.progress.done(step, "made anew for this version of the runtime")


def quick(shop: Workshop, function: Function, spec: RuntimeSpec) -> Bundle:
    """A bundle of the folder as it is, for an edit that somebody waits for: nothing compiled or warmed, no record.

    Its digest is another than that of a build, since what a compiler adds is not in it. The caller removes it.
    """
    read = inputs.read(function, spec)
    with store.working_folder(paths.bundles()) as work:
        staged = _stage(function, spec, read, work)
        made, _ = _finish(shop, function, spec, read, staged, distrust=False, quick=True)
    return bundle_of(made)


def afresh(shop: Workshop, function: Function, spec: RuntimeSpec, step: str) -> tuple[Item, ...]:
    """What the bundle holds when everything is made anew, dependencies too; nothing is kept."""
    read = inputs.read(function, spec)
    with store.working_folder(paths.bundles()) as work:
        staged = _stage(function, spec, read, work)
        code = _compiled(shop, function, spec, staged, step)
        if staged.install is None:
            return code
        made = install.fresh(shop, function, staged.install, read.entries, spec.compile, _room(work), step)
        return bundles.merged(code, made.items, staged.install.rule.result)


def _room(work: Path) -> Path:
    room = work / "install"
    room.mkdir(mode=0o700)
    return room


def _stage(function: Function, spec: RuntimeSpec, read: Inputs, work: Path) -> Staged:
    root = work / "app"
    root.mkdir(mode=0o755)
    code = store.copy(read.entries, function.path, root)
    needed = plan.installation(spec, read.manifests)
    key = dependencies_key(needed, spec, code) if needed is not None else None
    parts = [inputs.FORMAT, inputs.runtime_identity(spec), key, [(item.name, item.kind, item.value) for item in code]]
    return Staged(root, code, needed, key, hashlib.sha256(json.dumps(parts).encode()).hexdigest())


def _renewed(same: Release, function: Function, fingerprint: str | None) -> Release:
    """The bundle stays, what is said of it may change: an image that starts another handler is not its image."""
    if same.handler == function.handler:
        return replace(same, fingerprint=fingerprint)
    return replace(same, fingerprint=fingerprint, handler=function.handler, image=None)


def _shared(twin: Release, function: Function) -> Release:
    """The twin's bundle as this function's: its own name, handler and image."""
    return replace(
        twin, function=function.name, handler=function.handler, image=None, image_key=None, image_base=None, before=()
    )


def _compiled(shop: Workshop, function: Function, spec: RuntimeSpec, staged: Staged, step: str) -> tuple[Item, ...]:
    """The code with what the runtime's compiler adds. Before dependencies are linked in: it writes to nothing else."""
    rule = spec.compile
    if rule is None or not any(item.name.endswith(rule.suffix) for item in staged.code):
        return staged.code
    install.compile_in(shop, function, rule, staged.root, step)
    return store.index(staged.root)


def _finish(
    shop: Workshop,
    function: Function,
    spec: RuntimeSpec,
    read: Inputs,
    staged: Staged,
    *,
    distrust: bool,
    quick: bool = False,
) -> tuple[Release, Dependencies | None]:
    """Join code and dependencies at the place of their digest; a release without fingerprint and history."""
    dependencies = None
    if staged.install is not None and staged.key is not None:
        dependencies = install.ensure(
            shop, function, staged.install, staged.key, read.entries, spec.compile, force=distrust
        )
    step = f"bundle {function.name}"
    shop.progress.start(step)
    try:
        items = staged.code if quick else _compiled(shop, function, spec, staged, step)
        if staged.install is not None and dependencies is not None:
            under = staged.install.rule.result
            items = bundles.merged(items, dependencies.items, under)
            store.link(dependencies.items, dependencies.root, staged.root, under)
        digest = bundles.digest(items)
        root = store.adopt(staged.root, digest)
        if spec.warm is not None and not quick and any(item.name.endswith(spec.warm.suffix) for item in staged.code):
            warm.fill(shop, function, spec, root, staged.root.parent)
    except BaseException:
        shop.progress.failed(step)
        raise
    made = Release(
        function=function.name,
        digest=digest,
        runtime=spec.name,
        handler=function.handler,
        size_bytes=sum(item.size for item in items),
        files=len(items),
        fingerprint=None,
        source=staged.source,
        seal="" if quick else store.seal(root) or "",
        dependencies=staged.key,
    )
    shop.progress.done(
        step, f"{digest.removeprefix('sha256:')[:12]}  {made.size_bytes / 1e6:.1f} MB, {made.files} files"
    )
    return made, dependencies
