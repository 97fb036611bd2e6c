"""What exists of a function's build before it begins, by a look at the disk. Writes nothing, asks no engine."""

from __future__ import annotations

from pathlib import Path

from fnctl import paths
from fnctl.builder import bundle as bundles
from fnctl.builder import code_cache, dependencies, install_plan, record, ship, store
from fnctl.builder.inputs import Inputs
from fnctl.builder.plan import Known
from fnctl.builder.record import Release
from fnctl.model import Bundle, Function, RuntimeSpec


def look(function: Function, spec: RuntimeSpec, read: Inputs, releases: Path, base: str | None = None) -> Known:
    """What is known of a build of these inputs.

    `base`: the sandbox image that a shipped one has to stand on; None: the one that it was made on is as good.
    """
    last = record.read(releases, function.name)
    unchanged = last is not None and is_current(last, read)
    distrusted = last is not None and not is_sealed(last) and _is_damaged(last.dependencies)
    return Known(
        last=last,
        unchanged=unchanged,
        alike=any(other.runtime == spec.name for other in record.every(releases)),
        installed=installed(spec, read) and not distrusted,
        distrusted=distrusted,
        stale_cache=last is not None and spec.warm is not None and code_cache.is_stale(bundle_of(last).root, spec),
        image=last is not None and unchanged and _is_shipped(last, function, spec, base),
    )


def _is_damaged(key: str | None) -> bool:
    return key is not None and not dependencies.is_sound(key)


def installed(spec: RuntimeSpec, read: Inputs) -> bool | None:
    """Whether the dependencies of these inputs are there; None where only the code's contents tell."""
    needed = install_plan.of(spec, read.manifests, read.provided)
    if needed is None:
        return False
    return None if needed.whole_folder else dependencies.is_installed(install_plan.key(needed, spec, ()))


def _is_shipped(last: Release, function: Function, spec: RuntimeSpec, base: str | None) -> bool:
    """An image that somebody removed by hand is not missed; `--no-cache` makes it again."""
    if last.image is None or last.image_base is None:
        return False
    content = ship.content(function, bundle_of(last), spec, base or last.image_base)
    return ship.key(content) == last.image_key


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
