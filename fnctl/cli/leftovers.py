"""What fnctl made on this machine and nothing uses any more: found, and decided upon. Removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fnctl import paths
from fnctl.engine.base import LABEL, LABEL_PROJECT, LABEL_ROLE, Engine, ImageInfo
from fnctl.model import SandboxInfo
from fnctl.paths import ProjectPaths

OURS: Mapping[str, str] = {LABEL: "1"}
OUR_NAMES = "fnctl/"
WORKING = ".work-"  # folders that a process works in are named so; a build removes its own


@dataclass(frozen=True, slots=True)
class Leftover:
    """`kind`: container, network, volume, image, bundle, dependencies, slots or cache.

    `size_bytes` is an upper bound for images, which share layers.
    """

    kind: str
    name: str
    target: str  # what the remover takes: an id, a reference, a path
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything of ours that there is. The values are of one moment; what is used since then refuses to be removed."""

    live: frozenset[str] = frozenset()  # ids of projects with a running service, of this home or another
    containers: tuple[SandboxInfo, ...] = ()
    networks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    volumes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    images: tuple[ImageInfo, ...] = ()
    # per project id: digests, images and dependency keys that its release records name, older versions included
    released: Mapping[str, frozenset[str]] = field(default_factory=dict)
    bundles: tuple[Path, ...] = ()
    dependencies: tuple[Path, ...] = ()  # installed trees, by the key that a release record names
    slots: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)  # per project id
    cache: tuple[Path, ...] = ()


def leftovers(there: Inventory, *, everything: bool, volumes: bool, size: Callable[[Path], int]) -> Iterator[Leftover]:
    """What to remove, in the order that lets it be: containers before the networks and images that they hold.

    Without `everything`, what a next run or build would use again stays: images, current bundles and caches. Nothing
    of a running service goes either way. Volumes hold data, and go only where they are asked for.
    """
    for box in there.containers:
        if _container_is_left(box, there.live):
            yield Leftover("container", box.name, box.id)
    for name, labels in sorted(there.networks.items()):
        if labels.get(LABEL_PROJECT) not in there.live:
            yield Leftover("network", name, name)
    for name, labels in sorted(there.volumes.items() if volumes else ()):
        if labels.get(LABEL_PROJECT) not in there.live:
            yield Leftover("volume", name, name)
    yield from _images(there, everything)
    yield from _folders(there, everything, size)


def _container_is_left(box: SandboxInfo, live: frozenset[str]) -> bool:
    """A build or an install holds no lock; while its container runs, somebody waits for it."""
    if box.labels.get(LABEL_ROLE) in ("build", "layer"):
        return not box.running
    return box.labels.get(LABEL_PROJECT) not in live


def _images(there: Inventory, everything: bool) -> Iterator[Leftover]:
    """Only names that fnctl gave are taken away: an image that somebody tagged otherwise stays under that name."""
    released = _named(there, everything)
    for image in there.images:
        if released.intersection(image.tags) or not _image_is_left(image, there, everything):
            continue
        if not image.tags:
            yield Leftover("image", image.id.removeprefix("sha256:")[:12], image.id, image.size_bytes)
        for tag in image.tags:
            if tag.startswith(OUR_NAMES):
                yield Leftover("image", tag, tag, image.size_bytes)


def _image_is_left(image: ImageInfo, there: Inventory, everything: bool) -> bool:
    """Of an image that no release here names. A function's has its project in its name: `fnctl/PROJECT/FUNCTION:…`."""
    if not image.tags:
        return True
    if image.labels.get(LABEL_ROLE) != "function":
        return everything and not there.live  # a layer: there to be used again
    projects = {tag.split("/")[1] for tag in image.tags if tag.startswith(OUR_NAMES) and tag.count("/") > 1}
    if everything:
        return not projects & there.live
    return projects <= there.released.keys()  # those of another home are released there


def _folders(there: Inventory, everything: bool, size: Callable[[Path], int]) -> Iterator[Leftover]:
    kept = {name.removeprefix("sha256:") for name in _named(there, everything)}
    for kind, folders in (("bundle", there.bundles), ("dependencies", there.dependencies)):
        for folder in folders:
            if folder.name not in kept and not folder.name.startswith(WORKING):
                yield Leftover(kind, folder.name[:12], str(folder), size(folder))
    for project, slots in sorted(there.slots.items()):
        for folder in slots if project not in there.live else ():
            yield Leftover("slots", f"{project}/{folder.name}", str(folder), size(folder))
    for folder in there.cache if everything and not there.live else ():
        if not folder.name.startswith(WORKING):
            yield Leftover("cache", folder.name, str(folder), size(folder))


def _named(there: Inventory, everything: bool) -> set[str]:
    """What release records keep: those of all projects, or only of those that run."""
    kept = [names for project, names in there.released.items() if not everything or project in there.live]
    return {name for names in kept for name in names}


def take_inventory(engine: Engine, holder: Callable[[Path], int | None]) -> Inventory:
    """Ask the engine and read the state folders. `holder` tells who holds a project's lock."""
    from fnctl.build import install

    projects = {folder.name: ProjectPaths(folder) for folder in _entries(paths.home() / "projects")}
    served = frozenset(name for name, each in projects.items() if holder(each.lock) is not None)
    containers = tuple(engine.list(OURS))
    return Inventory(
        live=served | elsewhere(containers, projects),
        containers=containers,
        networks=engine.networks(OURS),
        volumes=engine.volumes(OURS),
        images=tuple(engine.images(OURS)),
        released={name: frozenset(_released(each.releases)) for name, each in projects.items()},
        bundles=_entries(paths.bundles()),
        dependencies=_entries(install.folder()),
        slots={name: _entries(each.slots) for name, each in projects.items()},
        cache=_entries(paths.cache()),
    )


def elsewhere(containers: Iterable[SandboxInfo], known: Container[str]) -> frozenset[str]:
    """Projects that a service of another home serves (another user's, another FNCTL_HOME): their locks are not here.

    A sandbox does not outlive its service by more than seconds, so one that runs shows that its service does.
    """
    projects = {box.labels.get(LABEL_PROJECT) for box in containers if box.running}
    return frozenset(project for project in projects if project is not None and project not in known)


def _released(folder: Path) -> Iterable[str]:
    from fnctl.build import record

    for file in _entries(folder):
        release = record.read(folder, file.stem) if file.suffix == ".json" else None
        if release is not None:
            digests = [release.digest, *(each.digest for each in release.before)]
            images = [release.image, *(each.image for each in release.before)]
            yield from (name for name in (*digests, *images, release.dependencies) if name)


def _entries(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.iterdir())) if folder.is_dir() else ()


def disk_size(path: Path) -> int:
    """Bytes of the files below. A file that is linked elsewhere too frees nothing, and is not counted."""
    files = [path] if path.is_file() else path.rglob("*")
    found = (file.lstat() for file in files if file.is_symlink() or file.is_file())
    return sum(status.st_size for status in found if status.st_nlink == 1)
