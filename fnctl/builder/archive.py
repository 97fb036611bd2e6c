"""A function's image as an archive that `docker load` reads: a code layer and a config over layers that are there.

Reproducible: sorted names, owner 0, no name of this machine, and no time but SOURCE_DATE_EPOCH. The same bundle over
the same image gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fnctl.builder import tree
from fnctl.builder.bundle import is_derived
from fnctl.builder.tree import Entry
from fnctl.engine.port import LABEL, LABEL_DIGEST, LABEL_FUNCTION, LABEL_ROLE
from fnctl.model import Bundle, Function, Model, RuntimeSpec

APP = "fn/app"
PORT = 8080
_YEAR_S = 365 * 24 * 3600
# Gives each call a process of its own, where there is no host (layers/single).
SINGLE = ("/usr/bin/perl", "/opt/fnctl/single/main.pl")
USER = 65_532  # "nonroot" of the images that have one; the code needs no name


@dataclass(frozen=True, slots=True)
class Content:
    """What goes into an image beside the files: everything that the config is made of."""

    function: Function
    bundle: Bundle
    spec: RuntimeSpec
    base: str  # the reference of the sandbox image
    architecture: str
    epoch: int  # of the files
    created_s: int  # of the image; both in seconds since the epoch

    @property
    def version(self) -> str:
        return self.bundle.digest.removeprefix("sha256:")[:12]

    @property
    def created(self) -> str:
        return timestamp(self.created_s)

    def labels(self) -> dict[str, str]:
        title = "org.opencontainers.image."
        return {
            LABEL: "1",
            LABEL_ROLE: "function",
            LABEL_FUNCTION: self.function.name,
            LABEL_DIGEST: self.bundle.digest,
            f"{title}title": self.function.name,
            f"{title}version": self.version,
            f"{title}created": self.created,
            f"{title}base.name": self.base,
        }

    def load_message(self) -> dict[str, Any]:
        """As the host would send it (layers/PROTOCOL.md). No environment: values may be secrets, `docker run -e` gives
        them."""
        return {
            "op": "load",
            "function": self.function.name,
            "version": self.version,
            "handler": self.function.handler,
            "root": f"/{APP}",
            "model": str(self.function.model),
            "env": {},
            "concurrency": self.function.concurrency,
            "timeout_ms": round(self.function.timeout_s * 1000),
            "memory_mb": self.function.memory_mb,
            "port": PORT,
            **({"contract": str(self.function.contract)} if self.function.contract else {}),
            **({"payload": self.function.payload} if self.function.payload else {}),
            **({"initializer": self.function.initializer} if self.function.initializer else {}),
            **({"command": list(self.function.command)} if self.function.command else {}),
            **self._limits(),
        }

    def _limits(self) -> dict[str, Any]:
        """What `SINGLE` goes by. The process of a call is reached through it alone."""
        if self.function.model is not Model.EPHEMERAL:
            return {}
        longest = self.function.longest_s or self.function.timeout_s
        return {
            "address": "127.0.0.1",
            "idle_ms": round(self.function.idle_s * 1000),
            "max_duration_ms": round(longest * 1000),
        }

    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "PORT": str(PORT),
            **dict(self.spec.environment),
            **(dict(self.spec.commands) if self.function.command else {}),
            "FNCTL_LOAD": _json(self.load_message()),
        }

    def entrypoint(self) -> list[str]:
        serve = [*self.spec.agent, "--serve"]
        return [*SINGLE, *serve] if self.function.model is Model.EPHEMERAL else serve


def timestamp(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def config(content: Content, layers: Sequence[str], code: str) -> dict[str, Any]:
    """The image config; its SHA-256 is the image's id. `layers` are the base's diff ids, `code` that of the code."""
    below = [{"created": content.created, "created_by": f"fnctl: {content.base}"} for _ in layers]
    return {
        "architecture": content.architecture,
        "os": "linux",
        "created": content.created,
        "config": {
            "User": f"{USER}:{USER}",
            "Env": [f"{name}={value}" for name, value in content.environment().items()],
            "Entrypoint": content.entrypoint(),
            "WorkingDir": f"/{APP}",
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "StopSignal": "SIGTERM",
            "Labels": content.labels(),
        },
        "rootfs": {"type": "layers", "diff_ids": [*layers, code]},
        "history": [*below, {"created": content.created, "created_by": f"fnctl: code {content.bundle.digest}"}],
    }


def write_layer(root: Path, out: IO[bytes], epoch: int) -> str:
    """The code layer as a tar on `out`; its diff id."""
    hashed = Hashed(out)
    with tarfile.open(fileobj=hashed, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        entries = tree.scan(root, leaves_out=is_derived)
        for folder in _folders(entries):
            tar.addfile(_header(folder, 0o755, epoch, tarfile.DIRTYPE))
        for entry in entries:
            if not entry.folder:
                _add(tar, entry, root, epoch)
    return f"sha256:{hashed.digest.hexdigest()}"


def _folders(entries: Sequence[Entry]) -> list[str]:
    """Every folder above a file, and those that are empty; those above first."""
    found = {"fn", APP}
    for entry in entries:
        parts = entry.name.split("/")[: None if entry.folder else -1]
        found |= {"/".join([APP, *parts[: depth + 1]]) for depth in range(len(parts))}
    return sorted(found)


def _add(tar: tarfile.TarFile, entry: Entry, root: Path, epoch: int) -> None:
    name = f"{APP}/{entry.name}"
    if entry.target:
        header = _header(name, 0o777, epoch, tarfile.SYMTYPE)
        header.linkname = entry.target
        tar.addfile(header)
        return
    with (root / entry.name).open("rb") as data:
        header = _header(name, 0o755 if entry.executable else 0o644, epoch + _offset(data), tarfile.REGTYPE)
        header.size = entry.size
        tar.addfile(header, data)


def _offset(data: io.BufferedReader) -> int:
    """Seconds to put on the file's time, made of its content.

    File servers make ETags of time and size alone. With one time for all, the page of a new version would have the ETag
    of the old one wherever it is as long, and browsers would keep showing the old.
    """
    content = hashlib.file_digest(data, "sha256").digest()
    data.seek(0)
    return int.from_bytes(content[:4], "big") % _YEAR_S


def _header(name: str, mode: int, epoch: int, kind: bytes) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)  # owner 0 and no names, as it is made
    header.mode, header.mtime, header.type = mode, epoch, kind
    return header


def write_archive(
    out: IO[bytes], image: Mapping[str, Any], layer: IO[bytes], layer_size: int, references: Sequence[str]
) -> None:
    """The archive with the top layer only: the engine takes those below from its own store, by their diff ids."""
    text = _json(image).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    diff_ids = image["rootfs"]["diff_ids"]
    layers = [f"{diff_id.removeprefix('sha256:')}/layer.tar" for diff_id in diff_ids]
    manifest = _json([{"Config": name, "RepoTags": list(references), "Layers": layers}]).encode()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in ((name, text), ("manifest.json", manifest)):
            header = _header(member, 0o644, 0, tarfile.REGTYPE)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
        header = _header(layers[-1], 0o644, 0, tarfile.REGTYPE)
        header.size = layer_size
        tar.addfile(header, layer)


def dockerfile(content: Content) -> Iterator[str]:
    """The same image for an engine that builds: the layer is unpacked by ADD, which keeps times and owners."""
    yield f"FROM {content.base}"
    yield "ADD layer.tar /"
    yield from (f"ENV {name}={json.dumps(value)}" for name, value in content.environment().items())
    yield from (f"LABEL {json.dumps(name)}={json.dumps(value)}" for name, value in content.labels().items())
    yield f"WORKDIR /{APP}"
    yield f"USER {USER}:{USER}"
    yield f"EXPOSE {PORT}"
    yield "CMD []"
    yield f"ENTRYPOINT {json.dumps(content.entrypoint())}"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


class Hashed:
    """A stream that hashes what it passes on."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._out.write(data)
