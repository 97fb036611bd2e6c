"""A release on its way in: from a registry or a file, into bundles and a sandbox image of this machine.

Everything that comes is checked against its digest, and each bundle's files against the digest that the release says.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from fnctl import paths
from fnctl.builder import archive, store, tree
from fnctl.builder import bundle as bundles
from fnctl.engine.port import LABEL_DIGEST, Engine
from fnctl.errors import BuildError, ReleaseError
from fnctl.model import Bundle
from fnctl.progress import Progress, told
from fnctl.registry import disk_full
from fnctl.registry.blobs import Blobs, Descriptor, Manifest, descriptor
from fnctl.release import document
from fnctl.release.document import Document, Shipped
from fnctl.release.pack import ARTIFACT, CONFIG, FUNCTION, NOWHERE, ROLE

Moved = Callable[[int], None]
FOLDER, FILE_MODE, PROGRAM_MODE = 0o755, 0o644, 0o755


class Source(Protocol):
    """Where a release comes from: a repository, or a layout. Both check what they give."""

    def manifest(self, target: str) -> Manifest: ...

    def has(self, blob: Descriptor) -> bool: ...

    def fetch(self, blob: Descriptor, into: Blobs, moved: Moved = ...) -> None: ...

    def referrers(self, digest: str) -> Manifest | None: ...


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a release, for this machine's platform. `digest`: of its manifest."""

    digest: str
    config: Mapping[str, Any]
    config_digest: str
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """What was read of a release; its layers are not fetched yet."""

    digest: str  # of its index
    document: Document
    sandbox: Image
    functions: Mapping[str, Image]

    @property
    def version(self) -> str:
        return self.digest.removeprefix("sha256:")[:12]


def read(source: Source, target: str, architecture: str, blobs: Blobs) -> Release:
    """`target`: a tag or digest of the index. ReleaseError where it is none, or has nothing for this machine."""
    index = source.manifest(target)
    listed = _listed(index)
    platform = ("linux", architecture)
    by_role: dict[str, list[Descriptor]] = {"function": [], "sandbox": [], "release": []}
    for each in listed:
        role = dict(each.annotations).get(ROLE, "")
        if role in by_role and each.platform in (platform, NOWHERE):
            by_role[role].append(each)
    if len(by_role["release"]) != 1:
        raise _no_release(target)
    if len(by_role["sandbox"]) != 1:
        there = sorted({"/".join(each.platform) for each in listed if each.platform and each.platform != NOWHERE})
        raise ReleaseError(
            f"the release has no images for linux/{architecture}; it has {', '.join(there)}",
            hint=f"`fnctl ship` on a linux/{architecture} machine makes such a release",
        )
    said = _document(source, by_role["release"][0], blobs)
    images = {dict(each.annotations).get(FUNCTION, ""): _image(source, each, blobs) for each in by_role["function"]}
    release = Release(index.digest, said, _image(source, by_role["sandbox"][0], blobs), images)
    for function in said.functions:
        _check(function, release)
    return release


def _listed(index: Manifest) -> list[Descriptor]:
    said = index.read()
    if said.get("artifactType") != ARTIFACT:
        raise _no_release(index.digest)
    return [descriptor(each) for each in said.get("manifests") or []]


def _no_release(what: str) -> ReleaseError:
    return ReleaseError(
        f"{what} is not a release of fnctl", hint="`fnctl ship` makes one; `docker run` runs other images"
    )


def _blob(source: Source, said: Any, blobs: Blobs) -> bytes:
    wanted = descriptor(said)
    if wanted.size > (4 << 20):
        raise ReleaseError(f"the configuration {wanted.digest} is too large: {wanted.size} bytes")
    source.fetch(wanted, blobs, lambda count: None)
    return blobs.read(wanted.digest)


def _document(source: Source, listed: Descriptor, blobs: Blobs) -> Document:
    said = source.manifest(listed.digest).read()
    if said.get("artifactType") != ARTIFACT or (said.get("config") or {}).get("mediaType") != CONFIG:
        raise _no_release(listed.digest)
    try:
        return document.load(json.loads(_blob(source, said["config"], blobs)))
    except ValueError as error:
        raise ReleaseError("the release's configuration is not JSON") from error


def _image(source: Source, listed: Descriptor, blobs: Blobs) -> Image:
    said = source.manifest(listed.digest).read()
    try:
        config = json.loads(_blob(source, said["config"], blobs))
        layers = tuple(descriptor(each) for each in said["layers"])
        count = len(config["rootfs"]["diff_ids"])
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"the image {listed.digest} cannot be read: {error!r}") from error
    if count != len(layers) or not layers:
        raise ReleaseError(f"the image {listed.digest} has {len(layers)} layers and names {count}")
    return Image(listed.digest, config, str(said["config"]["digest"]), layers)


def _check(each: Shipped, release: Release) -> None:
    """Each function has an image of the same bundle, over the sandbox's layers."""
    image = release.functions.get(each.function.name)
    labels = (image.config.get("config") or {}).get("Labels") or {} if image is not None else {}
    if image is None or labels.get(LABEL_DIGEST) != each.digest or image.layers[:-1] != release.sandbox.layers:
        raise ReleaseError(f"the release's image of {each.function.name} is not that of its configuration")


# -- the sandbox image -------------------------------------------------------------------------------------------------


def sandbox_name(release: Release) -> str:
    whole = hashlib.sha256("\n".join(release.sandbox.config["rootfs"]["diff_ids"]).encode())
    return f"fnctl/sandbox:{whole.hexdigest()[:12]}"


def sandbox_image(release: Release, source: Source, engine: Engine, blobs: Blobs, progress: Progress) -> str:
    """Its reference, loaded into the engine where it has it not. Layers that were fetched for that are kept."""
    reference = sandbox_name(release)
    found = engine.image(reference)
    if found is not None and list(found.layers) == release.sandbox.config["rootfs"]["diff_ids"]:
        return reference
    for layer in release.sandbox.layers:
        fetch(source, layer, blobs, progress)
    with told(progress, f"Loading {reference}"):
        room = paths.home() / "images"
        room.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=room) as whole:
            _docker_archive(release, reference, blobs, whole)
            whole.seek(0)
            engine.load(whole)
    return reference


def fetch(source: Source, layer: Descriptor, blobs: Blobs, progress: Progress) -> None:
    if blobs.has(layer.digest, layer.size):
        return
    step = f"Fetching {layer.digest.removeprefix('sha256:')[:12]}, {layer.size / 1e6:.1f} MB"
    with told(progress, step):
        source.fetch(layer, blobs, lambda count: progress.line(step, f"{count / 1e6:.1f} of {layer.size / 1e6:.1f} MB"))


def _docker_archive(release: Release, reference: str, blobs: Blobs, out: IO[bytes]) -> None:
    """What `docker load` reads: it unpacks compressed layers, and checks each against the config's diff ids."""
    config = blobs.read(release.sandbox.config_digest)
    names = [f"{at:03}/layer.tar" for at in range(len(release.sandbox.layers))]
    listed = json.dumps([{"Config": "config.json", "RepoTags": [reference], "Layers": names}]).encode()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (("config.json", config), ("manifest.json", listed)):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
        for name, layer in zip(names, release.sandbox.layers, strict=True):
            header = tarfile.TarInfo(name)
            header.size = layer.size
            with blobs.path(layer.digest).open("rb") as data:
                tar.addfile(header, data)


# -- bundles -----------------------------------------------------------------------------------------------------------


def bundle(release: Release, each: Shipped, source: Source, blobs: Blobs, progress: Progress) -> Bundle:
    """The function's bundle: there and undamaged, or unpacked now. ReleaseError where its files are not what the
    release says; nothing of them is kept then."""
    place = bundles.folder(paths.bundles(), each.digest)
    if not place.is_dir() or store.damage(place, each.digest) is not None:
        layer = release.functions[each.function.name].layers[-1]
        fetch(source, layer, blobs, progress)
        with told(progress, f"Unpacking {each.function.name}"), store.working_folder(paths.bundles()) as work:
            store.adopt(_unpacked(each, blobs.path(layer.digest), work), each.digest)
    function = each.function
    return Bundle(function.name, each.digest, place, function.runtime, function.handler, each.size_bytes, each.files)


def check(release: Release, each: Shipped, source: Source, blobs: Blobs) -> None:
    """Are the function's files those that the release says? ReleaseError. Nothing of them is kept but the layer."""
    layer = release.functions[each.function.name].layers[-1]
    source.fetch(layer, blobs)
    with store.working_folder(paths.bundles()) as work:
        _unpacked(each, blobs.path(layer.digest), work)


def _unpacked(each: Shipped, layer: Path, work: Path) -> Path:
    root = work / "app"
    root.mkdir(mode=FOLDER)
    try:
        with disk_full.told_of(work.parent):
            unpack(layer, root)
        found = bundles.digest(store.index(root))
    except (OSError, EOFError, tarfile.TarError, BuildError) as error:
        raise ReleaseError(f"the code of {each.function.name} cannot be unpacked: {error}") from error
    if found != each.digest:
        raise ReleaseError(
            f"the code of {each.function.name} has the digest {found}; the release says {each.digest}",
            code="digest_mismatch",
        )
    return root


def unpack(layer: Path, root: Path) -> None:
    """A code layer's files, below `root`. ReleaseError for what no code layer of fnctl holds."""
    links: set[PurePosixPath] = set()
    size = 0
    with gzip.open(layer) as content, tarfile.open(fileobj=content, mode="r|") as tar:
        for count, member in enumerate(tar):
            name = _inside(member, links)
            size += member.size
            if count > 2 * tree.MAX_FILES or size > tree.MAX_BYTES:
                raise ReleaseError("the code's layer is too large")
            if name is not None:
                _put(tar, member, root, name, links)


def _inside(member: tarfile.TarInfo, links: set[PurePosixPath]) -> PurePosixPath | None:
    """Where it lies below the code's folder; None: that folder, or one above."""
    path, code = PurePosixPath(member.name), PurePosixPath(archive.APP)
    if member.isdir() and (path == code or path in code.parents):
        return None
    odd = ".." in path.parts or not path.is_relative_to(code) or path == code
    if odd or not (member.isreg() or member.isdir() or member.issym()):
        raise ReleaseError(f"the code's layer holds {member.name!r}, which is no file of a bundle")
    inner = path.relative_to(code)
    if any(parent in links for parent in (inner, *inner.parents)):
        raise ReleaseError(f"the code's layer leads through a symlink to {member.name!r}")
    return inner


def _put(
    tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path, name: PurePosixPath, links: set[PurePosixPath]
) -> None:
    target = root / name
    if member.isdir():
        target.mkdir(exist_ok=True)
        target.chmod(FOLDER)
        return
    if member.issym():
        target.symlink_to(member.linkname)
        links.add(name)
        return
    source = tar.extractfile(member)
    assert source is not None
    with target.open("xb") as out:
        while piece := source.read(1 << 20):
            out.write(piece)
    target.chmod(PROGRAM_MODE if member.mode & 0o111 else FILE_MODE)


def names(said: Document, wanted: Sequence[str]) -> tuple[str, ...]:
    """Those asked for, all where none is."""
    there = tuple(each.function.name for each in said.functions)
    return tuple(dict.fromkeys(wanted)) or there
