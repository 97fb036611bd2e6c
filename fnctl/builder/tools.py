"""Tools of package managers that installs need: pinned, fetched by the host, kept in the cache, mounted read-only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from fnctl import paths
from fnctl.builder import fetch, layer_images, store
from fnctl.catalog import Download, Fetch, Layer, Requirements
from fnctl.errors import BuildError
from fnctl.progress import Progress, told

PIP = "pip"  # the download of a layer that unpacks wheels


def place(layer: Layer, name: str, progress: Progress) -> Path:
    """The tool's folder for this machine. Made where it is missing, beside and renamed: complete or not there."""
    tool = _for_this_machine(layer.tools, name)
    if tool is None:
        raise BuildError(f"{layer.folder.name}/runtime.yaml declares no tool {name} for this machine")
    identity = hashlib.sha256(json.dumps(layer_images.identity(tool)).encode()).hexdigest()
    there = paths.cache() / "tools" / f"{name}-{identity[:16]}"
    if there.is_dir():
        return there
    with told(progress, f"fetch {name}"), store.working_folder(there.parent) as work:
        made = work / name
        made.mkdir(mode=0o755)
        _fetch(tool, made, layer, work)
        if not there.is_dir():  # else another process was first
            made.rename(there)
    return there


def _for_this_machine(declared: tuple[Fetch, ...], name: str) -> Fetch | None:
    machine = layer_images.architecture()
    fits = (each for each in declared if each.name == name)
    return next((each for each in fits if isinstance(each, Requirements) or each.architecture in (None, machine)), None)


def _fetch(tool: Fetch, into: Path, layer: Layer, work: Path) -> None:
    downloads = paths.cache() / "downloads"
    if isinstance(tool, Download):
        fetch.unpack(fetch.download(tool, downloads), tool, into)
        return
    pip = next(item for item in layer.shared if isinstance(item, Download) and item.name == PIP)
    unpacked = work / "pip"
    fetch.unpack(fetch.download(pip, downloads), pip, unpacked)
    fetch.install_requirements(tool, unpacked / "pip", into, layer_images.architecture())
