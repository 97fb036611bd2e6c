"""The cache of compiled code beside a bundle: made by loading the function once, in a sandbox without network.

It is derived (bundle.py): absent from the digest, and of no consequence where it is missing or old.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from fnctl.build import bundle as bundles
from fnctl.build import install, store, tree
from fnctl.build.install import Workshop
from fnctl.errors import BuildError, EngineError
from fnctl.model import Function, WarmRule

CACHE = "/fn/cache"
TIMEOUT_S = 20.0


def fill(shop: Workshop, function: Function, rule: WarmRule, root: Path, room: Path) -> None:
    """Put the cache into the bundle at `root`, where it has none. `room`: a working folder on the same file system.

    The function's code runs here: with no network and no environment of its own. How its load ends does not matter.
    """
    place = root / bundles.DERIVED
    if place.exists():
        return
    made = room / "cache"
    made.mkdir(mode=0o755)
    install.hand_over(made, install.step_uid())
    named = {"{handler}": function.handler, "{contract}": str(function.contract or "")}
    command = tuple(named.get(part, part) for part in rule.run)
    mounts = ((str(root), install.APP, True), (str(made), CACHE, False))
    spec = replace(install.step_spec(shop, function, mounts, command), memory_mb=max(256, function.memory_mb))
    try:
        shop.engine.run(spec, timeout_s=TIMEOUT_S)
    except EngineError:
        return
    _keep(made, room / "kept", place)


def _keep(made: Path, kept: Path, place: Path) -> None:
    """Move what the load left to its place, copied by fnctl's own hand: foreign code made it, and a symlink in it could
    lead anywhere. What no bundle can hold makes it no cache."""
    kept.mkdir(mode=0o755)
    try:
        if not store.copy(tree.scan(made), made, kept):
            return
    except BuildError:
        return
    place.parent.mkdir(exist_ok=True)
    for folder in (place.parent, kept):
        folder.chmod(0o755)
    with contextlib.suppress(OSError):  # another build was first
        kept.rename(place)
