"""What `fnctl ship` does: builds, packs, and sends a project as one release. The parts are in fnctl/release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from fnctl import __version__, catalog, paths
from fnctl.builder import layer_images as layers
from fnctl.builder import record, ship
from fnctl.builder.builds import Built
from fnctl.builder.plan import Goal
from fnctl.config import unresolved
from fnctl.control import prepare
from fnctl.control.prepare import Selection
from fnctl.engine.port import Engine
from fnctl.errors import UsageError
from fnctl.paths import ProjectPaths
from fnctl.progress import Progress, told
from fnctl.registry import credentials, layout
from fnctl.registry.blobs import Blobs, Descriptor, Manifest
from fnctl.registry.reference import Reference
from fnctl.registry.repository import Repository
from fnctl.registry.token import Tokens
from fnctl.registry.transport import Patience, Wire
from fnctl.release import base_layers, document, pack, publish, referrers, signature, statements
from fnctl.release.base_layers import Base
from fnctl.release.document import Document
from fnctl.release.pack import Packed, Part
from fnctl.release.statements import CYCLONEDX, IN_TOTO

Connect = Callable[[], Engine]  # asked for when there is something to make


@dataclass(frozen=True, slots=True)
class Shipped:
    """`sent_bytes`: what the registry had not."""

    packed: Packed
    sent_bytes: int


def blobs() -> Blobs:
    """What was shipped and pulled, by digest. It can be deleted at any time."""
    return Blobs(paths.cache() / "registry" / "blobs")


def repository(reference: Reference, patience: Patience | None = None) -> Repository:
    """With the login that Docker's configuration has for it. Close it."""
    wire = Wire(reference, Tokens(credentials.find(reference.host)), patience)
    return Repository(reference, wire, patience)


def check_platform(asked: str | None) -> str:
    """The architecture to ship for. UsageError where this machine cannot make what stands below the code there."""
    own = layers.architecture()
    if asked is None or asked in (own, f"linux/{own}"):
        return own
    raise UsageError(
        f"cannot ship for {asked}: this machine is linux/{own}, and cannot build for another architecture",
        hint=f"run the same command on a {asked} machine, with another tag; layers of interpreted code are the same",
    )


@dataclass(frozen=True, slots=True)
class Made:
    """A packed release. `base`: makes blobs of the base anew, where they are gone."""

    packed: Packed
    parts: tuple[Part, ...]
    base: Callable[[], object]


def make(selection: Selection, connect: Connect, progress: Progress) -> Made:
    """Build what is out of date, and pack it.

    The engine is asked where something is to be built, or its base was never packed."""
    built = prepare.unchanged(selection, Goal.SHIP)
    reference = _base_of(selection) if built is not None else None
    if built is None or reference is None:
        built = prepare.to_build(selection, connect(), progress)
        reference = _base_of(selection)
    assert reference is not None, "a build records what its image stands on"
    store, sandbox = blobs(), reference

    def base() -> Base:
        with told(progress, f"Packing {sandbox}") as tell:
            return base_layers.make(sandbox, connect(), store, tell)

    found = base_layers.remembered(sandbox, store) or base()
    parts = _parts(selection, built)
    with told(progress, "Packing the code"):
        packed = pack.pack(
            parts, document_of(selection, built), selection.project.root, found, layers.architecture(), store
        )
    return Made(packed, parts, base)


def _base_of(selection: Selection) -> str | None:
    """The sandbox image below the images of all these functions; None where they differ."""
    releases = ProjectPaths.of(selection.project.id).releases
    found = {made.image_base if (made := record.read(releases, each.name)) else None for each in selection.functions}
    return found.pop() if len(found) == 1 else None


def _parts(selection: Selection, built: Mapping[str, Built]) -> tuple[Part, ...]:
    epoch = ship.source_epoch() or 0
    return tuple(
        Part(each, built[each.name].bundle, catalog.runtime_of(each, selection.known), epoch, ship.created_s(each))
        for each in selection.functions
    )


def document_of(selection: Selection, built: Mapping[str, Built]) -> Document:
    """What a release of these says."""
    written = unresolved.environments(selection.project)
    functions = tuple(
        document.shipped(
            each,
            built[each.name].bundle.digest,
            built[each.name].bundle.size_bytes,
            built[each.name].bundle.files,
            written.get(each.name, {}),
        )
        for each in selection.functions
    )
    runtimes = tuple(spec.name for spec in selection.sandbox)
    project = selection.project
    return Document(project.name, __version__, functions, project.services, runtimes, project.queues, project.workflows)


def to_registry(
    selection: Selection,
    reference: Reference,
    connect: Connect,
    progress: Progress,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Shipped:
    """`key`: signs it. Bills of materials and provenance go with it."""
    made, store = make(selection, connect, progress), blobs()

    def beside(there: Repository) -> None:
        with told(progress, "Sending bills of materials and provenance"):
            for manifest, needs in _said(made, store):
                referrers.push(manifest, needs, there, store)
        if key is not None:
            with told(progress, "Signing"):
                referrers.sign(there, made.packed.index.digest, key, store)

    with closing(repository(reference)) as there:
        sent = publish.to_registry(made.packed, there, reference.tag or "latest", store, made.base, progress, beside)
    return Shipped(made.packed, sent)


def to_file(
    selection: Selection,
    file: Path,
    connect: Connect,
    progress: Progress,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Shipped:
    made, store = make(selection, connect, progress), blobs()
    digest = made.packed.index.digest
    with told(progress, f"Writing {file}"):
        beside = [(referrers.described(manifest), manifest) for manifest, _ in _said(made, store)]
        if key is not None:
            signed, _ = signature.sign(file.stem, digest, key, store, None)
            beside.append((signed.describe({layout.TAG: signature.tag(digest)}), signed))
        size = publish.to_file(made.packed, file, store, made.base, beside)
    return Shipped(made.packed, size)


def _said(made: Made, store: Blobs) -> list[tuple[Manifest, list[Descriptor]]]:
    """A bill of materials for each image, and how all of it was made, as what refers to them."""
    packed = made.packed
    found = [
        referrers.attached(
            statements.sbom(part, packed, __version__), CYCLONEDX, packed.images[part.function.name].describe(), store
        )
        for part in made.parts
    ]
    sources = {part.function.name: ship.kept_at(part.function) for part in made.parts}
    origin = statements.provenance(made.parts, packed, __version__, sources)
    return [*found, referrers.attached(origin, IN_TOTO, packed.index.describe(), store)]
