"""What fnctl made on this machine and nothing uses any more: found, and decided upon. Removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fnctl import paths, projects
from fnctl.control import versions
from fnctl.engine import ownership
from fnctl.engine.port import LABEL, LABEL_FOLDER, LABEL_HOME, LABEL_PROJECT, LABEL_ROLE, LABEL_USER, Engine, ImageInfo
from fnctl.errors import ReleaseError
from fnctl.model import SandboxInfo
from fnctl.paths import ProjectPaths

OURS: Mapping[str, str] = {LABEL: "1"}
OUR_NAMES = "fnctl/"
WORKING = ".work-"  # folders that a process works in are named so; a build removes its own
UNKNOWN = "unknown"  # the home of what an older fnctl made, for a project that this home does not have
EVERY = "all"

Labels = Mapping[str, str]
Live = frozenset[tuple[str, str]]  # (home, project) that a service serves now


@dataclass(frozen=True, slots=True)
class Leftover:
    """`kind`: container, network, volume, image, bundle, dependencies, slots or cache.

    `size_bytes` is an upper bound for images, which share layers. `folder`, `user`, `home`: whose it is, as far as that
    is known; of what several projects share, there is no folder.
    """

    kind: str
    name: str
    target: str  # what the remover takes: an id, a reference, a path
    size_bytes: int = 0
    folder: str = ""
    user: str = ""
    home: str = ""  # its id


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything of ours that there is. The values are of one moment; what is used since then refuses to be removed."""

    home: str = ""  # this one's id
    user: str = ""
    live: Live = frozenset()  # of this home or another
    containers: tuple[SandboxInfo, ...] = ()
    networks: Mapping[str, Labels] = field(default_factory=dict)
    volumes: Mapping[str, Labels] = field(default_factory=dict)
    images: tuple[ImageInfo, ...] = ()
    # per project id of this home: digests, images and dependency keys that its release records name, older ones too
    released: Mapping[str, frozenset[str]] = field(default_factory=dict)
    bundles: tuple[Path, ...] = ()
    dependencies: tuple[Path, ...] = ()  # installed trees, by the key that a release record names
    slots: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)  # per project id
    cache: tuple[Path, ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict)  # of this home's projects, for people
    states: Mapping[str, Path] = field(default_factory=dict)  # per project id: what it has beside builds
    # per project id: the versions of its release that have a bundle, by its digest, in words
    versions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    volumes_at: Path | None = None  # where the engine keeps volumes, if that is on this machine

    @property
    def in_use(self) -> frozenset[str]:
        """Projects that are served, by whichever home."""
        return frozenset(project for _, project in self.live)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked for. `project`: that one of this home alone; None: this home's whole. `homes`: and what these other
    homes have made, by id, or `all`. `everything`: what a next run or build would use again, too."""

    project: str | None = None
    everything: bool = False
    volumes: bool = False
    homes: frozenset[str] = frozenset()


def leftovers(there: Inventory, scope: Scope, size: Callable[[Path], int]) -> Iterator[Leftover]:
    """What to remove, in the order that lets it be: containers before the networks and images that they hold.

    Nothing of a running service goes. Volumes hold data, and go only where they are asked for.
    """
    for one, project in _all(there, scope, size):
        foreign = one.home not in ("", there.home)
        if scope.project is not None:
            asked = not foreign and project == scope.project
        else:
            asked = not foreign or bool(scope.homes & {one.home, EVERY})
        if asked:
            yield one


def others(there: Inventory, scope: Scope, size: Callable[[Path], int]) -> list[Leftover]:
    """What other homes have made and left, and is kept, since they are not named."""
    left = (one for one, _ in _all(there, scope, size))
    return [one for one in left if one.home not in ("", there.home, *scope.homes) and EVERY not in scope.homes]


def _all(there: Inventory, scope: Scope, size: Callable[[Path], int]) -> Iterator[tuple[Leftover, str]]:
    """Of every home and project, each with the project's id; empty: it is not one project's."""
    for box in there.containers:
        if _container_is_left(box, there):
            yield _labelled(there, box.labels, "container", box.name, box.id)
    for kind, found in (("network", there.networks), ("volume", there.volumes if scope.volumes else {})):
        for name, labels in sorted(found.items()):
            if not _in_use(there, labels):
                bytes_there = size(there.volumes_at / name) if kind == "volume" and there.volumes_at else 0
                yield _labelled(there, labels, kind, name, name, bytes_there)
    yield from _images(there, scope)
    yield from _folders(there, scope, size)


def _whose(there: Inventory, labels: Labels) -> tuple[str, str]:
    """Home and project. What an older fnctl made has no home on it: it is ours where the project is, or is none."""
    project = labels.get(LABEL_PROJECT, "")
    ours = not project or project in there.released
    return labels.get(LABEL_HOME) or (there.home if ours else UNKNOWN), project


def _in_use(there: Inventory, labels: Labels) -> bool:
    """Where it is not said which home made it, whichever serves the project may be using it."""
    if LABEL_HOME not in labels and labels.get(LABEL_PROJECT) in there.in_use:
        return True
    return _whose(there, labels) in there.live


def _labelled(
    there: Inventory, labels: Labels, kind: str, name: str, target: str, size_bytes: int = 0
) -> tuple[Leftover, str]:
    home, project = _whose(there, labels)
    folder = labels.get(LABEL_FOLDER) or (there.folders.get(project, "") if home == there.home else "")
    user = labels.get(LABEL_USER) or (there.user if home == there.home else "")
    return Leftover(kind, name, target, size_bytes, folder, user, home), project


def _container_is_left(box: SandboxInfo, there: Inventory) -> bool:
    """A build or an install holds no lock; while its container runs, somebody waits for it."""
    if box.labels.get(LABEL_ROLE) in ("build", "layer"):
        return not box.running
    if box.running and LABEL_PROJECT in box.labels and LABEL_HOME not in box.labels:
        return False  # of a service of an older fnctl
    return _whose(there, box.labels) not in there.live


def _images(there: Inventory, scope: Scope) -> Iterator[tuple[Leftover, str]]:
    """Only names that fnctl gave are taken away: an image that somebody tagged otherwise stays under that name."""
    released = _named(there, scope)
    for image in there.images:
        if released.intersection(image.tags) or not _image_is_left(image, there, scope):
            continue
        if not image.tags:
            short = image.id.removeprefix("sha256:")[:12]
            yield Leftover("image", short, image.id, image.size_bytes, home=there.home), ""
        for tag in image.tags:
            if tag.startswith(OUR_NAMES):
                project = tag.split("/")[1] if tag.count("/") > 1 else ""
                yield _mine(there, project, "image", tag, tag, image.size_bytes)


def _mine(there: Inventory, project: str, kind: str, name: str, target: str, size_bytes: int) -> tuple[Leftover, str]:
    home = there.home if not project or project in there.released else UNKNOWN
    user = there.user if project in there.released else ""
    return Leftover(kind, name, target, size_bytes, there.folders.get(project, ""), user, home), project


def _image_is_left(image: ImageInfo, there: Inventory, scope: Scope) -> bool:
    """Of an image that no release here names. A function's has its project in its name: `fnctl/PROJECT/FUNCTION:…`."""
    if not image.tags:
        return True
    if image.labels.get(LABEL_ROLE) != "function":
        return scope.everything and not there.live  # a layer: there to be used again
    of = {tag.split("/")[1] for tag in image.tags if tag.startswith(OUR_NAMES) and tag.count("/") > 1}
    if scope.everything:
        return not of & there.in_use
    return of <= there.released.keys()  # those of another home are released there


def _folders(there: Inventory, scope: Scope, size: Callable[[Path], int]) -> Iterator[tuple[Leftover, str]]:
    """All are this home's."""
    kept = {name.removeprefix("sha256:") for name in _named(there, scope)}
    for kind, folders in (("bundle", there.bundles), ("dependencies", there.dependencies)):
        for folder in folders:
            if folder.name not in kept and not folder.name.startswith(WORKING):
                project = _only_user(there, folder.name)
                yield _mine(there, project, kind, folder.name[:12], str(folder), size(folder))
    for project, slots in sorted(there.slots.items()):
        for folder in slots if (there.home, project) not in there.live else ():
            yield _mine(there, project, "slots", f"{project}/{folder.name}", str(folder), size(folder))
    for folder in there.cache if scope.everything and not there.live else ():
        if not folder.name.startswith(WORKING):
            yield _mine(there, "", "cache", folder.name, str(folder), size(folder))


def _only_user(there: Inventory, name: str) -> str:
    """The one project that a bundle or an installation is released for; none: it is nobody's, or several share it."""
    using = [project for project, names in there.released.items() if names & {name, f"sha256:{name}"}]
    return using[0] if len(using) == 1 else ""


def _named(there: Inventory, scope: Scope) -> set[str]:
    """What release records keep: those of all projects, or only of those that run or are not asked about."""
    if not scope.everything:
        kept = list(there.released.values())
    else:
        asked = there.released.keys() if scope.project is None else {scope.project}
        stays = {project for project in there.released if project not in asked or project in there.in_use}
        kept = [there.released[project] for project in stays]
    return {name for names in kept for name in names}


# -- what there is -----------------------------------------------------------------------------------------------------


def take_inventory(engine: Engine, holder: Callable[[Path], int | None]) -> Inventory:
    """Ask the engine and read the state folders. `holder` tells who holds a project's lock."""
    from fnctl.builder import dependencies as install

    home = paths.home_id()
    states = {folder.name: ProjectPaths(folder) for folder in _entries(paths.home() / "projects")}
    served = frozenset((home, name) for name, each in states.items() if holder(each.lock) is not None)
    containers = tuple(engine.list(OURS))
    facts = engine.facts()
    volumes_at = Path(facts.root_dir) / "volumes"
    return Inventory(
        home=home,
        user=ownership.user(),
        live=served | elsewhere(containers, home),
        containers=containers,
        networks=engine.networks(OURS),
        volumes=engine.volumes(OURS),
        images=tuple(engine.images(OURS)),
        released={name: frozenset(_released(each.releases)) for name, each in states.items()},
        bundles=_entries(paths.bundles()),
        dependencies=_entries(install.folder()),
        slots={name: _entries(each.slots) for name, each in states.items()},
        cache=_entries(paths.cache()),
        folders={one.id: str(one.folder) for one in projects.recall()},
        states={name: each.root for name, each in states.items()},
        versions={name: _versions(each.versions) for name, each in states.items()},
        volumes_at=volumes_at if facts.local and facts.root_dir else None,
    )


def elsewhere(containers: Iterable[SandboxInfo], ours: str) -> Live:
    """What services of other homes serve (another user's, another FNCTL_HOME): their locks are not here.

    A sandbox does not outlive its service by more than seconds, so one that runs shows that its service does.
    """
    running = ((box.labels.get(LABEL_HOME), box.labels.get(LABEL_PROJECT)) for box in containers if box.running)
    return frozenset((home, project) for home, project in running if home and project and home != ours)


def _released(folder: Path) -> Iterable[str]:
    from fnctl.builder import record

    for file in _entries(folder):
        release = record.read(folder, file.stem) if file.suffix == ".json" else None
        if release is not None:
            digests = [release.digest, *(each.digest for each in release.before)]
            images = [release.image, *(each.image for each in release.before)]
            yield from (name for name in (*digests, *images, release.dependencies) if name)
    yield from record.deployed(folder.with_name("versions.json"))


def _versions(file: Path) -> Mapping[str, tuple[str, ...]]:
    with suppress(ReleaseError):  # `fnctl releases` tells that it is broken
        return versions.holding(versions.read(file))
    return {}


def _entries(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.iterdir())) if folder.is_dir() else ()


def disk_size(path: Path) -> int:
    """Bytes of the files below. A file that is linked elsewhere too frees nothing, and is not counted."""
    files = [path] if path.is_file() else path.rglob("*")
    found = (file.lstat() for file in files if file.is_symlink() or file.is_file())
    return sum(status.st_size for status in found if status.st_nlink == 1)
