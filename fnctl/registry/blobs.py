"""Contents by their digest: what a registry or a layout holds, and a folder that keeps it on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fnctl.errors import RegistryError, ReleaseError
from fnctl.registry import disk_full
from fnctl.registry.reference import DIGEST

CHUNK = 1 << 20
IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"  # a blob for where there must be one


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def dumps(value: object) -> bytes:
    """JSON that is the same byte for byte for the same value."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What lies somewhere, and how to know that it is that (OCI image specification, descriptor.md)."""

    media_type: str
    digest: str
    size: int
    annotations: tuple[tuple[str, str], ...] = ()
    platform: tuple[str, str] | None = None  # ("linux", "amd64")
    artifact_type: str | None = None

    def document(self) -> dict[str, Any]:
        made: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            made["artifactType"] = self.artifact_type
        if self.platform:
            made["platform"] = {"os": self.platform[0], "architecture": self.platform[1]}
        if self.annotations:
            made["annotations"] = dict(self.annotations)
        return made


def descriptor(said: Any) -> Descriptor:
    """Of a manifest that came from elsewhere. ReleaseError where it is none."""
    try:
        digest, size = str(said["digest"]), int(said["size"])
        platform = said.get("platform") or None
        made = Descriptor(
            str(said["mediaType"]),
            digest,
            size,
            tuple((str(name), str(value)) for name, value in (said.get("annotations") or {}).items()),
            (str(platform["os"]), str(platform["architecture"])) if platform else None,
            said.get("artifactType"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReleaseError(f"not the descriptor of anything: {str(said)[:200]}") from error
    if not DIGEST.match(digest) or size < 0:
        raise ReleaseError(f"a descriptor has the digest `{digest[:80]}` and the size {size}")
    return made


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index: small, kept whole."""

    media_type: str
    content: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    def describe(
        self,
        annotations: Mapping[str, str] | None = None,
        platform: tuple[str, str] | None = None,
        artifact_type: str | None = None,
    ) -> Descriptor:
        noted = tuple(sorted((annotations or {}).items()))
        return Descriptor(self.media_type, self.digest, len(self.content), noted, platform, artifact_type)

    def read(self) -> dict[str, Any]:
        try:
            said = json.loads(self.content)
        except ValueError as error:
            raise ReleaseError(f"{self.digest} is not JSON") from error
        if not isinstance(said, dict) or said.get("schemaVersion") != 2:
            raise ReleaseError(f"{self.digest} is not a manifest of the OCI image specification")
        return said


class Blobs:
    """A folder of contents by digest: complete or not there. What was begun has a name of its own and goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        return self.folder / digest.removeprefix("sha256:")

    def part(self, digest: str) -> Path:
        """Where a download of it lies until it is whole."""
        return self.folder / f".part-{digest.removeprefix('sha256:')}"

    def has(self, digest: str, size: int | None = None) -> bool:
        try:
            found = self.path(digest).stat().st_size
        except OSError:
            return False
        return size is None or found == size

    def add(self, content: bytes, media_type: str) -> Descriptor:
        with self.writing() as out:
            out.write(content)
        return Descriptor(media_type, digest_of(content), len(content))

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writing]:
        """A file that gets its digest's name when the block ends; nothing is left where it fails."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.folder / f".new-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            with disk_full.told_of(self.folder), fresh.open("xb") as file:
                out = Writing(file)
                yield out
            fresh.replace(self.path(out.digest))
        finally:
            fresh.unlink(missing_ok=True)

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def finish(self, wanted: Descriptor) -> None:
        """The download is whole: check it, and give it its name. RegistryError where it is something else; it is gone
        then."""
        part = self.part(wanted.digest)
        with part.open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        if found != wanted.digest:
            part.unlink()
            raise RegistryError(
                f"asked for {wanted.digest}, got {found}",
                hint="the registry, or something between here and there, changed it; it was not used",
                code="digest_mismatch",
            )
        part.replace(self.path(wanted.digest))


class Writing:
    """A file that hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
