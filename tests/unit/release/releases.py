"""A small release, made of real files: what the tests of this folder share."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from fnctl import catalog
from fnctl.builder import bundle as bundles
from fnctl.builder import store, tree
from fnctl.model import Bundle, Function, HttpTrigger
from fnctl.registry.blobs import Blobs
from fnctl.release import base_layers, document, pack
from fnctl.release.base_layers import Base
from fnctl.release.document import Document
from fnctl.release.pack import Packed, Part

SPEC = catalog.runtimes()["node24"]
FILES = {"index.js": "exports.hello = () => 'hello';\n", "lib/page.html": "<p>page</p>", "run.sh": "#!/bin/sh\n"}


def layer(files: Mapping[str, bytes], mtime: int = 1) -> bytes:
    """A layer as an engine has it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size, header.mtime, header.uname = len(content), mtime, "builder"
            tar.addfile(header, io.BytesIO(content))
    return out.getvalue()


def saved(layers: list[bytes], place: Path) -> Path:
    """An archive of `docker save`."""
    names = [f"{at}/layer.tar" for at in range(len(layers))]
    listed = b'[{"Config":"c.json","RepoTags":[],"Layers":["' + '","'.join(names).encode() + b'"]}]'
    with tarfile.open(place, "w") as tar:
        for name, content in (("manifest.json", listed), *zip(names, layers, strict=True)):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return place


def base(blobs: Blobs, place: Path, mtime: int = 1) -> Base:
    status = b"Package: libc6\nStatus: install ok installed\nVersion: 2.41-1\n\nPackage: x\nStatus: deinstall\n"
    layers = [
        layer({"bin/sh": b"sh", "var/lib/dpkg/status": status, "var/log/dpkg.log": b"%d" % mtime}, mtime),
        layer({"opt/fnctl/agent.js": b"agent"}, mtime),
    ]
    with saved(layers, place).open("rb") as whole:
        return base_layers.from_archive(whole, blobs)


def bundle(place: Path, files: Mapping[str, str] = FILES, mtime: int = 10**9) -> Bundle:
    """As a build leaves it, from a folder with these files."""
    source, root = place / "source", place / "bundle"
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
        os.utime(source / name, (mtime, mtime))
    root.mkdir(parents=True)
    items = store.copy(tree.scan(source), source, root)
    return Bundle("hello", bundles.digest(items), root, SPEC.name, "index.hello", 100, len(items))


def release(place: Path, blobs: Blobs, *, mtime: int = 10**9, files: Mapping[str, str] = FILES) -> Packed:
    return packed(place, blobs, mtime=mtime, files=files)[0]


def packed(place: Path, blobs: Blobs, *, mtime: int = 10**9, files: Mapping[str, str] = FILES) -> tuple[Packed, Part]:
    """Of one function, in a folder of its own; and that function."""
    made = bundle(place, files, mtime)
    function = Function(
        "hello",
        place / "source",
        SPEC.name,
        "index.hello",
        environment=(("GREETING", "hello"), ("TOKEN", "s3cret")),
        triggers=(HttpTrigger("/hi", frozenset({"GET", "POST"})),),
    )
    part = Part(function, made, SPEC, 0, 1_700_000_000)
    said = document.shipped(function, made.digest, 100, made.files, {"GREETING": "${GREETING:-hello}"})
    whole = Document("shop", "0.1.0", (said,), (), (SPEC.name,))
    below = base(blobs, place / "save.tar", mtime)
    return pack.pack([part], whole, place / "source", below, "amd64", blobs), part
