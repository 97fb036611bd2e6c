"""A release as manifests and blobs, made of bundles and a base: everything that is sent, before it is sent anywhere.

    index (tagged)
    ├── image of each function      base layers + one layer of code, a config of its own
    ├── image of the sandbox        the base layers alone: what a pool is made of
    └── release                     what `document.py` says of the project

The index is one for all: `docker run` of it takes the first image, which is the only one of most projects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fnctl.builder import archive
from fnctl.builder.archive import Content
from fnctl.engine.port import LABEL, LABEL_DIGEST, LABEL_ROLE
from fnctl.model import Bundle, Function, RuntimeSpec
from fnctl.registry.blobs import (
    EMPTY,
    EMPTY_TYPE,
    IMAGE_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Blobs,
    Descriptor,
    Manifest,
    dumps,
)
from fnctl.release import document
from fnctl.release.base_layers import Base, Layer, zipped
from fnctl.release.document import Document

ARTIFACT = "application/vnd.fnctl.release.v1"
CONFIG = "application/vnd.fnctl.release.config.v1+json"
ROLE = "dev.fnctl.role"  # of what an index lists: function, sandbox, release
FUNCTION = "dev.fnctl.function"
NOWHERE = ("unknown", "unknown")  # of what is no image: engines pass over it


@dataclass(frozen=True, slots=True)
class Part:
    """One function on its way into a release."""

    function: Function
    bundle: Bundle
    spec: RuntimeSpec
    epoch: int  # of its files
    created: int  # of its image; both in seconds since the epoch


@dataclass(frozen=True, slots=True)
class Packed:
    """`manifests`: in the order of sending, each after what it refers to, the index last. `blobs`: where each lies."""

    index: Manifest
    manifests: tuple[Manifest, ...]
    blobs: Mapping[str, tuple[Descriptor, Path]]
    images: Mapping[str, Manifest]  # by function
    base: Base
    code: Mapping[str, Layer]  # by function


def base_name(base: Base) -> str:
    """What engines call the sandbox image of these layers, wherever they are loaded."""
    whole = hashlib.sha256("\n".join(layer.diff_id for layer in base.layers).encode())
    return f"fnctl/sandbox:{whole.hexdigest()[:12]}"


def pack(parts: Sequence[Part], said: Document, root: Path, base: Base, architecture: str, blobs: Blobs) -> Packed:
    """Everything of a release of these functions. Reads bundles, writes blobs; asks no engine. The same parts give the
    same bytes. `root`: the project's folder."""
    work = _Work(base, architecture, blobs)
    images: dict[str, Manifest] = {}
    code: dict[str, Layer] = {}
    for part in parts:
        code[part.function.name] = work.code_layer(part)
        images[part.function.name] = work.image(part, code[part.function.name])
    sandbox = work.sandbox(min(part.created for part in parts))
    release = work.release(said, root)
    index = _index(images, sandbox, release, ("linux", architecture))
    manifests = (*images.values(), sandbox, release, index)
    return Packed(index, manifests, work.used, images, base, code)


class _Work:
    """The making of one release's blobs. `used`: all that its manifests name."""

    def __init__(self, base: Base, architecture: str, blobs: Blobs) -> None:
        self._base = base
        self._name = base_name(base)
        self._architecture = architecture
        self._blobs = blobs
        self.used: dict[str, tuple[Descriptor, Path]] = {}
        for layer in base.layers:
            self._use(layer.descriptor)

    def _use(self, blob: Descriptor) -> Descriptor:
        self.used[blob.digest] = (blob, self._blobs.path(blob.digest))
        return blob

    def code_layer(self, part: Part) -> Layer:
        """Of interpreted code, the same for every architecture."""
        with self._blobs.writing() as out, zipped(out) as layer:
            diff_id = archive.write_layer(part.bundle.root, layer, part.epoch)
        return Layer(diff_id, out.digest, out.size)

    def image(self, part: Part, code: Layer) -> Manifest:
        content = Content(
            part.function, part.bundle, part.spec, self._name, self._architecture, part.epoch, part.created
        )
        config = archive.config(content, [layer.diff_id for layer in self._base.layers], code.diff_id)
        self._use(code.descriptor)
        return self._manifest(dumps(config), IMAGE_CONFIG, [*self._layers(), code.descriptor])

    def sandbox(self, created: int) -> Manifest:
        digest = self._name.rpartition(":")[2]
        config = {
            "architecture": self._architecture,
            "os": "linux",
            "created": archive.timestamp(created),
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Labels": {LABEL: "1", LABEL_ROLE: "layer", LABEL_DIGEST: digest},
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self._base.layers]},
        }
        return self._manifest(dumps(config), IMAGE_CONFIG, self._layers())

    def release(self, said: Document, root: Path) -> Manifest:
        self._use(self._blobs.add(EMPTY, EMPTY_TYPE))
        empty = Descriptor(EMPTY_TYPE, self._blobs.add(EMPTY, EMPTY_TYPE).digest, len(EMPTY))
        return self._manifest(dumps(document.dump(said, root)), CONFIG, [empty], ARTIFACT)

    def _layers(self) -> list[Descriptor]:
        return [layer.descriptor for layer in self._base.layers]

    def _manifest(
        self, config: bytes, kind: str, layers: Iterable[Descriptor], artifact_type: str | None = None
    ) -> Manifest:
        stored = self._use(self._blobs.add(config, kind))
        return manifest(stored, layers, artifact_type)


def manifest(
    config: Descriptor,
    layers: Iterable[Descriptor],
    artifact_type: str | None = None,
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    made: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": config.document(),
        "layers": [layer.document() for layer in layers],
    }
    if artifact_type:
        made["artifactType"] = artifact_type
    if subject is not None:
        made["subject"] = subject.document()
    if annotations:
        made["annotations"] = dict(annotations)
    return Manifest(IMAGE_MANIFEST, dumps(made))


def _index(images: Mapping[str, Manifest], sandbox: Manifest, release: Manifest, platform: tuple[str, str]) -> Manifest:
    listed = [each.describe({ROLE: "function", FUNCTION: name}, platform) for name, each in sorted(images.items())]
    listed.append(sandbox.describe({ROLE: "sandbox"}, platform))
    listed.append(release.describe({ROLE: "release"}, NOWHERE, ARTIFACT))
    made = {
        "schemaVersion": 2,
        "mediaType": IMAGE_INDEX,
        "artifactType": ARTIFACT,
        "manifests": [each.document() for each in listed],
    }
    return Manifest(IMAGE_INDEX, dumps(made))
