"""What refers to a release in its repository: its SBOMs, its provenance, its signatures. Sent, and found again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from fnctl.errors import RegistryError, ReleaseError
from fnctl.registry.blobs import EMPTY, EMPTY_TYPE, IMAGE_INDEX, Blobs, Descriptor, Manifest, descriptor, dumps
from fnctl.registry.repository import Repository, fallback_tag
from fnctl.release import signature
from fnctl.release.fetch import Source
from fnctl.release.pack import manifest
from fnctl.release.statements import IN_TOTO, PROVENANCE

PREDICATE = "in-toto.io/predicate-type"  # as buildx notes it


def attached(said: dict[str, Any], kind: str, subject: Descriptor, blobs: Blobs) -> tuple[Manifest, list[Descriptor]]:
    """A document as what refers to `subject`, and its blobs."""
    empty, blob = blobs.add(EMPTY, EMPTY_TYPE), blobs.add(dumps(said), kind)
    notes = {PREDICATE: PROVENANCE} if kind == IN_TOTO else {}
    return manifest(empty, [blob], kind, subject, notes), [empty, blob]


def push(made: Manifest, needs: Sequence[Descriptor], repository: Repository, blobs: Blobs) -> None:
    """Blobs, then the manifest; and its place in the list that a registry without an API for it lacks."""
    for blob in needs:
        if not repository.has(blob):
            repository.put(blob, blobs.path(blob.digest))
    headers = repository.put_manifest(made)
    if "oci-subject" not in headers:
        _list(made, repository)


def _list(made: Manifest, repository: Repository) -> None:
    """By the specification's fallback: an index under a tag. Two who do it at once may lose one of the two entries."""
    said = made.read()
    tag = fallback_tag(said["subject"]["digest"])
    before = tagged(repository, tag)
    there = [descriptor(each) for each in (before.read().get("manifests") or [] if before is not None else [])]
    entries = [*(each for each in there if each.digest != made.digest), described(made)]
    listing = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [each.document() for each in entries]}
    repository.put_manifest(Manifest(IMAGE_INDEX, dumps(listing)), tag)


def described(made: Manifest) -> Descriptor:
    """As a list of referrers has it."""
    said = made.read()
    return made.describe(said.get("annotations"), artifact_type=said.get("artifactType"))


def tagged(repository: Source, tag: str) -> Manifest | None:
    """None where there is no such tag."""
    try:
        return repository.manifest(tag)
    except RegistryError as error:
        if error.code == "registry_missing":
            return None
        raise


def listed(repository: Source, digest: str) -> list[Descriptor]:
    """Everything that refers to a manifest."""
    found = repository.referrers(digest) or tagged(repository, fallback_tag(digest))
    return [descriptor(each) for each in (found.read().get("manifests") or [] if found is not None else [])]


def documents(repository: Source, digest: str, kind: str, blobs: Blobs) -> Iterator[dict[str, Any]]:
    """The documents of a kind that refer to a manifest. Each is checked against its digest, and no further."""
    for each in listed(repository, digest):
        if each.artifact_type != kind:
            continue
        said = repository.manifest(each.digest).read()
        for layer in (descriptor(one) for one in said.get("layers") or []):
            repository.fetch(layer, blobs)
            try:
                yield json.loads(blobs.read(layer.digest))
            except ValueError as error:
                raise ReleaseError(f"{layer.digest}, which refers to {digest}, is not JSON") from error


def sign(repository: Repository, digest: str, key: ec.EllipticCurvePrivateKey, blobs: Blobs) -> None:
    """Add a signature to those that are there, unless the key has signed it."""
    there = tagged(repository, signature.tag(digest))
    if there is not None and is_signed(repository, digest, key.public_key(), blobs):
        return
    made, needs = signature.sign(repository.reference.name, digest, key, blobs, there)
    for blob in needs:
        if not repository.has(blob):
            repository.put(blob, blobs.path(blob.digest))
    repository.put_manifest(made, signature.tag(digest))


def is_signed(repository: Source, digest: str, key: ec.EllipticCurvePublicKey, blobs: Blobs) -> bool:
    found = tagged(repository, signature.tag(digest))
    if found is None:
        return False
    payloads = {}
    for layer in (descriptor(each) for each in found.read().get("layers") or []):
        if layer.size <= 1 << 20:
            repository.fetch(layer, blobs)
            payloads[layer.digest] = blobs.read(layer.digest)
    return signature.is_signed(found, payloads, digest, key)
