"""An OCI image layout in one tar file: a release without a registry, to be carried by hand.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fnctl.errors import RegistryError, ReleaseError
from fnctl.registry import disk_full
from fnctl.registry.blobs import CHUNK, IMAGE_INDEX, Blobs, Descriptor, Manifest, descriptor, dumps

TAG = "org.opencontainers.image.ref.name"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'

Moved = Callable[[int], None]


def write(
    target: Path,
    manifests: Iterable[Manifest],
    blobs: Mapping[str, tuple[Descriptor, Path]],
    tops: Iterable[Descriptor],
) -> None:
    """The whole file beside, then renamed: `target` is complete, or what it was before. The same contents give the same
    bytes."""
    held: dict[str, bytes | Path] = {digest: path for digest, (_, path) in blobs.items()}
    held |= {manifest.digest: manifest.content for manifest in manifests}
    index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [top.document() for top in tops]}
    fresh = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(3)}")
    try:
        with disk_full.told_of(target.parent), tarfile.open(fresh, "x", format=tarfile.PAX_FORMAT) as tar:
            for folder in ("blobs", "blobs/sha256"):
                header = tarfile.TarInfo(folder)
                header.type, header.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(header)
            for digest, content in sorted(held.items()):
                _add(tar, f"blobs/sha256/{digest.removeprefix('sha256:')}", content)
            _add(tar, "index.json", dumps(index))
            _add(tar, "oci-layout", _VERSION)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    header = tarfile.TarInfo(name)
    header.mode = 0o644
    if isinstance(content, Path):
        header.size = content.stat().st_size
        with content.open("rb") as data:
            tar.addfile(header, data)
    else:
        header.size = len(content)
        tar.addfile(header, io.BytesIO(content))


class Layout:
    """Reads such a file; the same calls as a repository's. `close` it. ReleaseError where it is none."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with contextlib.ExitStack() as opening:
            try:
                self._file = opening.enter_context(file.open("rb"))
                self._tar = opening.enter_context(tarfile.open(fileobj=self._file, mode="r:"))
                self._members = {member.name.removeprefix("./"): member for member in self._tar if member.isfile()}
                self._index: dict[str, Any] = json.loads(self._read("index.json"))
            except (OSError, tarfile.TarError, KeyError, ValueError) as error:
                hint = "`fnctl ship --to release.tar` writes one; `docker save` writes something else"
                raise ReleaseError(f"{file} is not an OCI image layout: {error}", hint=hint) from error
            self._opened = opening.pop_all()

    def tops(self) -> list[Descriptor]:
        """What the file is about: releases, and what refers to them."""
        return [descriptor(each) for each in self._index.get("manifests") or []]

    def has(self, blob: Descriptor) -> bool:
        return self._path(blob.digest) in self._members

    def manifest(self, target: str) -> Manifest:
        """By digest, checked, or by the tag that the file has. RegistryError `registry_missing`, as a registry."""
        if not target.startswith("sha256:"):
            found = next((top for top in self.tops() if dict(top.annotations).get(TAG) == target), None)
            if found is None:
                raise RegistryError(f"{self.file} has no {target}", code="registry_missing")
            target = found.digest
        return self._manifest(target)

    def _manifest(self, target: str) -> Manifest:
        content = self._content(target)
        found = Manifest("", content)
        if found.digest != target:
            raise ReleaseError(f"{self.file}: {target} has the digest {found.digest}", code="digest_mismatch")
        return Manifest(str(found.read().get("mediaType")), content)

    def fetch(self, blob: Descriptor, into: Blobs, moved: Moved = lambda count: None) -> None:
        """Into the folder, checked."""
        if into.has(blob.digest, blob.size):
            return
        into.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        source = self._tar.extractfile(self._member(blob.digest))
        assert source is not None
        with into.part(blob.digest).open("wb") as out:
            while piece := source.read(CHUNK):
                out.write(piece)
                moved(out.tell())
        into.finish(blob)

    def referrers(self, digest: str) -> Manifest | None:
        """What the file has that refers to a manifest."""
        found = []
        for top in self.tops():
            manifest = self.manifest(top.digest)
            if (manifest.read().get("subject") or {}).get("digest") == digest:
                found.append(top.document())
        return Manifest(IMAGE_INDEX, dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": found}))

    def close(self) -> None:
        self._opened.close()

    def _content(self, digest: str) -> bytes:
        source = self._tar.extractfile(self._member(digest))
        assert source is not None
        return source.read()

    def _member(self, digest: str) -> tarfile.TarInfo:
        found = self._members.get(self._path(digest))
        if found is None:
            raise ReleaseError(f"{self.file} has no {digest}: it is not complete")
        return found

    @staticmethod
    def _path(digest: str) -> str:
        return f"blobs/sha256/{digest.removeprefix('sha256:')}"

    def _read(self, name: str) -> bytes:
        source = self._tar.extractfile(self._members[name])
        assert source is not None
        return source.read()
