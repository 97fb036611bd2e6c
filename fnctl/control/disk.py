"""What of fnctl takes the disk, and who holds it: from the inventory that prune decides by. Removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fnctl.control.prunable import Inventory, Leftover
from fnctl.engine.port import LABEL_PROJECT


@dataclass(frozen=True, slots=True)
class Taken:
    """`size_bytes` is an upper bound for images, which share layers. `held_by`: the folders of the projects that use
    it, with the versions of their releases that do; `shared` where all do. `removable`: `fnctl prune` would take it,
    without more options."""

    kind: str
    name: str
    size_bytes: int
    held_by: tuple[str, ...]
    removable: bool


SHARED = "shared"


def taken(there: Inventory, left: Iterable[Leftover], size: Callable[[Path], int]) -> Iterator[Taken]:
    """Of this home and its engine. `left`: what prune would remove now."""
    removable = {(each.kind, each.target) for each in left}
    for kind, folders in (("bundle", there.bundles), ("dependencies", there.dependencies)):
        for folder in folders:
            held = _holders(there, {folder.name, f"sha256:{folder.name}"}, f"sha256:{folder.name}")
            yield Taken(kind, folder.name[:12], size(folder), held, (kind, str(folder)) in removable)
    for image in there.images:
        name = image.tags[0] if image.tags else image.id.removeprefix("sha256:")[:12]
        held = _holders(there, set(image.tags)) or ((SHARED,) if name.count("/") == 1 else ())
        gone = bool({("image", each) for each in (*image.tags, image.id)} & removable)
        yield Taken("image", name, image.size_bytes, () if gone else held, gone)
    for name, labels in sorted(there.volumes.items()):
        at = there.volumes_at / name if there.volumes_at is not None else None
        project = labels.get(LABEL_PROJECT, "")
        folder_of = there.folders.get(project, project)
        yield Taken("volume", name, size(at) if at is not None else 0, (folder_of,) if folder_of else (), False)
    for folder in there.cache:
        yield Taken("cache", folder.name, size(folder), (SHARED,), ("cache", str(folder)) in removable)
    for project, state in sorted(there.states.items()):
        for kind in ("logs", "store.db"):
            if (part := state / kind).exists():
                owner = there.folders.get(project, project)
                yield Taken(kind.removesuffix(".db"), project, size(part), (owner,), False)


def _holders(there: Inventory, names: set[str], bundle: str = "") -> tuple[str, ...]:
    """With the versions of a release that have this bundle, where a project serves one."""
    using = [project for project, named in sorted(there.released.items()) if named & names]
    return tuple(
        there.folders.get(project, project)
        + "".join(f", {each}" for each in there.versions.get(project, {}).get(bundle, ()))
        for project in using
    )
