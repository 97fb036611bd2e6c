"""The file of a backup: a tar that says first what it is, and last what it held, with the digest of each part.

A file that was cut short has no end, and so no manifest. Nothing of a project or an engine is known here.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import fnctl
from fnctl.errors import BackupError, FnctlError

FORMAT = 1
FIRST, MANIFEST = "fnctl-backup", "manifest.json"
STATE, VOLUMES = "state/", "volumes/"
# What a part can be called: nothing of it can lead out of the folder that it is unpacked into.
_PART = re.compile(
    r"state/(store\.db|keys\.json|versions\.json|releases/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}\.json)"
    r"|volumes/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}\.tar"
)
_MANIFEST_BYTES = 8 << 20
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    size_bytes: int
    sha256: str

    @property
    def service(self) -> str | None:
        """Whose volume it is; None: a part of the project's state."""
        return self.name.removeprefix(VOLUMES).removesuffix(".tar") if self.name.startswith(VOLUMES) else None


@dataclass(frozen=True, slots=True)
class Manifest:
    """`at`: seconds since the epoch. `fnctl`: the version that wrote it."""

    project: str
    at: float
    fnctl: str
    parts: tuple[Part, ...]

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(part.service for part in self.parts if part.service is not None)


def write(target: Path, project: str, parts: Mapping[str, Path]) -> Manifest:
    """The parts, by name, as a file that only its owner can read; complete, and on disk, or not there. FnctlError."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with _owned(partial) as out, tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, FIRST, f"{FORMAT}\n".encode())
            done = tuple(_add_file(tar, name, path) for name, path in parts.items())
            manifest = Manifest(project, time.time(), fnctl.__version__, done)
            _add(tar, MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise no_room(error, target) from error
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def unpack(source: Path, into: Path) -> Manifest:
    """All of its parts into this folder, each checked. BackupError for what is none, or damaged, or cut short."""
    try:
        file = source.open("rb")
    except OSError as error:
        raise BackupError(f"{source}: {error.strerror or error}") from error
    found: dict[str, Part] = {}
    manifest: Manifest | None = None
    with file:
        try:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                _check_first(source, tar)
                while (member := tar.next()) is not None:
                    if member.name == MANIFEST:
                        manifest = _manifest(_small(tar, member))
                    else:
                        found[member.name] = _unpack(source, tar, member, into, found)
        except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{source} is damaged or cut short: {error}", hint=_WHOLE) from error
        except OSError as error:
            raise no_room(error, into) from error
    if manifest is None:
        raise BackupError(f"{source} is cut short: its end is missing", hint=_WHOLE)
    wrong = next((part.name for part in manifest.parts if found.pop(part.name, None) != part), None)
    if wrong is not None or found:
        raise BackupError(f"{source} is damaged: {wrong or next(iter(found))} is not what it was", hint=_WHOLE)
    return manifest


_WHOLE = "copy the file again, or use another backup"


def no_room(error: OSError, place: Path) -> FnctlError:
    """A disk that is full, or refuses."""
    return FnctlError(f"cannot write {place}: {error.strerror or error}", hint="nothing was changed")


@contextlib.contextmanager
def _owned(path: Path) -> Iterator[IO[bytes]]:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        yield file


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_entry(name, len(data)), io.BytesIO(data))


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(time.time())
    return entry


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> Part:
    assert _PART.fullmatch(name), name
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        reader = _Hashing(file)
        tar.addfile(_entry(name, size), reader)
    return Part(name, size, reader.digest.hexdigest())


class _Hashing:
    """A file that is read, and what was read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _check_first(source: Path, tar: tarfile.TarFile) -> None:
    first = tar.next()
    if first is None or first.name != FIRST:
        raise BackupError(f"{source} is not a backup of fnctl", hint="`fnctl backup FILE` makes one")
    said = _small(tar, first).decode("ascii", "replace").strip()
    if said != str(FORMAT):
        hint = "use the version of fnctl that made it, or a newer one"
        raise BackupError(f"{source} has format {said[:20]}, and this fnctl reads format {FORMAT}", hint=hint)


def _small(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > _MANIFEST_BYTES:
        raise ValueError(f"{member.name} is too large")
    content = tar.extractfile(member)
    if content is None:
        raise ValueError(f"{member.name} is not a file")
    data = content.read()
    if len(data) != member.size:
        raise EOFError(f"{member.name} ends early")
    return data


def _manifest(data: bytes) -> Manifest:
    said: dict[str, Any] = json.loads(data)
    parts = tuple(Part(str(each["name"]), int(each["size_bytes"]), str(each["sha256"])) for each in said["parts"])
    return Manifest(str(said["project"]), float(said["at"]), str(said["fnctl"]), parts)


def _unpack(source: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path, found: Mapping[str, Part]) -> Part:
    if not member.isreg() or not _PART.fullmatch(member.name) or member.name in found:
        raise BackupError(f"{source} is damaged: it has a part {member.name[:100]!r}", hint=_WHOLE)
    content = tar.extractfile(member)
    assert content is not None, "a regular file has content"
    path = into / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    reader = _Hashing(content)
    with _owned(path) as out:
        shutil.copyfileobj(reader, out, _PIECE)
        out.flush()
        os.fsync(out.fileno())
    return Part(member.name, path.stat().st_size, reader.digest.hexdigest())
