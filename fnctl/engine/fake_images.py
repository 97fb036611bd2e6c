"""The images that an engine in memory has: what each says of itself, and its tags. No files, no sandboxes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO

from fnctl.engine.answers import no_image
from fnctl.engine.port import ImageInfo
from fnctl.errors import EngineError

_EMPTY_LAYER = b"\0" * 1024  # a tar of nothing


@dataclass(slots=True)
class _Image:
    """Tags are names of an image; the last one gone, it is gone."""

    info: ImageInfo
    tags: set[str] = field(default_factory=set)

    def told(self) -> ImageInfo:
        return replace(self.info, tags=tuple(sorted(self.tags)))


class FakeImages:
    """By id, and by each tag, which only one of them has. Safe from several threads."""

    def __init__(self) -> None:
        self._images: dict[str, _Image] = {}
        self._made = 0
        self._lock = threading.RLock()

    def add(self, references: Sequence[str], labels: Mapping[str, str], layers: Sequence[str]) -> str:
        """A new image with these tags; its id."""
        with self._lock:
            self._made += 1
            image = f"sha256:{hashlib.sha256(f'{references} {self._made}'.encode()).hexdigest()}"
            self._images[image] = _Image(ImageInfo(image, (), dict(labels), 0, tuple(layers)))
            for reference in references:
                self.name(image, reference)
        return image

    def load(self, archive: IO[bytes]) -> None:
        """What a docker-archive says of its images. EngineError where it is none; layers themselves are not read."""
        try:
            for tags, labels, layers in _archived(archive):
                self.add(tags, labels, layers)
        except (tarfile.TarError, KeyError) as error:
            raise EngineError(f"the engine could not take the image: {error}") from error

    def save(self, reference: str, out: IO[bytes]) -> None:
        """An archive of it, whose layers are empty: none has files here."""
        found = self.find(reference)
        if found is None:
            raise no_image(reference)
        config = {
            "config": {"Labels": dict(found.labels)},
            "rootfs": {"type": "layers", "diff_ids": list(found.layers)},
        }
        layers = [f"{diff_id.removeprefix('sha256:')}/layer.tar" for diff_id in found.layers]
        listed = [{"Config": "config.json", "RepoTags": [reference], "Layers": layers}]
        with tarfile.open(fileobj=out, mode="w|") as tar:
            for name, content in (
                ("config.json", json.dumps(config).encode()),
                *((name, _EMPTY_LAYER) for name in layers),
                ("manifest.json", json.dumps(listed).encode()),
            ):
                header = tarfile.TarInfo(name)
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))

    def find(self, reference: str) -> ImageInfo | None:
        """By its id or a tag."""
        with self._lock:
            found = self._find(reference)
            return found.told() if found is not None else None

    def carrying(self, labels: Mapping[str, str]) -> list[ImageInfo]:
        """Those that carry all these labels."""
        with self._lock:
            return [i.told() for i in self._images.values() if labels.items() <= dict(i.info.labels).items()]

    def name(self, image: str, reference: str) -> None:
        """Give the tag to this image; another that had it has it no more."""
        with self._lock:
            for other in self._images.values():
                other.tags.discard(_full(reference))
            self._images[image].tags.add(_full(reference))

    def remove(self, reference: str) -> None:
        """A tag of it, or by its id the whole: EngineError where it has other tags."""
        with self._lock:
            found = self._find(reference)
            if found is not None:
                if reference == found.info.id and len(found.tags) > 1:
                    raise EngineError(f"the image {reference} has several tags", code="engine_refused")
                found.tags.discard(_full(reference))
                if reference == found.info.id or not found.tags:
                    del self._images[found.info.id]

    def _find(self, reference: str) -> _Image | None:
        by_tag = (image for image in self._images.values() if _full(reference) in image.tags)
        return self._images.get(reference) or next(by_tag, None)


def _archived(archive: IO[bytes]) -> Iterator[tuple[list[str], Mapping[str, str], Sequence[str]]]:
    """Of each image in an archive: tags, labels, diff ids of its layers."""
    with tarfile.open(fileobj=io.BytesIO(archive.read())) as tar:
        for entry in json.load(tar.extractfile("manifest.json") or io.BytesIO(b"[]")):
            config = json.load(tar.extractfile(entry["Config"]) or io.BytesIO(b"{}"))
            yield entry["RepoTags"], config["config"].get("Labels") or {}, config["rootfs"]["diff_ids"]


def _full(reference: str) -> str:
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
