"""The cache of compiled code beside a bundle: made by loading the function once, in a sandbox without network.

It is derived (bundle.py): absent from the digest, and of no consequence where it is missing or old.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from fnctl.build import bundle as bundles
from fnctl.build import install
from fnctl.build.install import Workshop
from fnctl.errors import EngineError
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
    command = tuple(part.replace("{handler}", function.handler) for part in rule.run)
    mounts = ((str(root), install.APP, True), (str(made), CACHE, False))
    spec = replace(install.step_spec(shop, function, mounts, command), memory_mb=max(256, function.memory_mb))
    try:
        shop.engine.run(spec, timeout_s=TIMEOUT_S)
    except EngineError:
        return
    install.hand_over(made, os.getuid())
    _open_to_all(made)
    _move(made, place)


def _open_to_all(folder: Path) -> None:
    for where, _, files in os.walk(folder):
        Path(where).chmod(0o755)
        for name in files:
            (Path(where) / name).chmod(0o644)


def _move(made: Path, place: Path) -> None:
    if not any(made.iterdir()):
        return
    place.parent.mkdir(exist_ok=True)
    place.parent.chmod(0o755)
    try:
        made.rename(place)
    except OSError:  # another build was first
        shutil.rmtree(made, ignore_errors=True)
