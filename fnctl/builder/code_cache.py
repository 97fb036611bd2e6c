"""The cache of compiled code beside a bundle: made by loading the function once, in a sandbox without network.

It is derived (bundle.py): absent from the digest, and of no consequence where it is missing. One that another version
of the runtime or its agent made is read by nobody, and made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from fnctl.builder import bundle as bundles
from fnctl.builder import dependencies as install
from fnctl.builder import store, tree
from fnctl.builder.dependencies import Workshop
from fnctl.errors import BuildError, EngineError
from fnctl.model import Function, RuntimeSpec

CACHE = "/fn/cache"
TIMEOUT_S = 20.0
MADE_BY = "made-by"  # in the cache: the identity of who made it, who alone can read it


def is_stale(root: Path, spec: RuntimeSpec) -> bool:
    """Whether the bundle at `root` has a cache that this runtime did not make."""
    place = root / bundles.DERIVED
    return place.is_dir() and _made_by(place) != _identity(spec.folder, spec.version)


def _made_by(place: Path) -> str:
    try:
        return (place / MADE_BY).read_text("utf-8")
    except OSError:
        return ""


@lru_cache
def _identity(folder: Path, version: str) -> str:
    """Of a runtime as a maker of caches: its version, and all of its layer's files, the agent's among them."""
    whole = hashlib.sha256(version.encode())
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"):
        whole.update(f"\n{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return whole.hexdigest()


def fill(shop: Workshop, function: Function, spec: RuntimeSpec, root: Path, room: Path, *, anew: bool = False) -> None:
    """Put the cache into the bundle at `root`, where it has none or a stale one, or another is to be made `anew`.
    `room`: a working folder on the same file system. Only for a runtime with a `warm` rule.

    The function's code runs here: with no network and no environment of its own. How its load ends does not matter.
    """
    rule, place = spec.warm, root / bundles.DERIVED
    assert rule is not None
    if place.is_dir() and not anew and not is_stale(root, spec):
        return
    made = room / "cache"
    made.mkdir(mode=0o755)
    install.hand_over(made, install.step_uid())
    named = {"{handler}": function.handler, "{contract}": str(function.contract or "")}
    command = tuple(named.get(part, part) for part in rule.run)
    mounts = ((str(root), install.APP, True), (str(made), CACHE, False))
    step = replace(install.step_spec(shop, function, mounts, command), memory_mb=max(256, function.memory_mb))
    try:
        shop.engine.run(step, timeout_s=TIMEOUT_S)
    except EngineError:
        return
    with contextlib.suppress(OSError):
        place.rename(room / "stale")
    _keep(made, room / "kept", place, _identity(spec.folder, spec.version))


def _keep(made: Path, kept: Path, place: Path, made_by: str) -> None:
    """Move what the load left to its place, copied by fnctl's own hand: foreign code made it, and a symlink in it could
    lead anywhere. What no bundle can hold makes it no cache."""
    kept.mkdir(mode=0o755)
    try:
        if not store.copy(tree.scan(made), made, kept):
            return
    except BuildError:
        return
    if os.path.lexists(kept / MADE_BY):  # no load has a reason to leave that
        return
    (kept / MADE_BY).write_text(made_by, "utf-8")
    (kept / MADE_BY).chmod(0o644)
    place.parent.mkdir(exist_ok=True)
    for folder in (place.parent, kept):
        folder.chmod(0o755)
    with contextlib.suppress(OSError):  # another build was first
        kept.rename(place)
