"""The sandbox image's layers as they are shipped: the same bytes wherever they were built, and kept for the next time.

An engine's own layers differ from one making to the next: in times, and in files that nobody reads. Here times are 0,
compiled Python is told so, and logs and caches of package managers are left out.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, cast

from fnctl import paths
from fnctl.builder.archive import Hashed
from fnctl.engine.port import Engine
from fnctl.errors import EngineError
from fnctl.registry.blobs import LAYER_GZIP, Blobs, Descriptor, Writing, dumps

FORMAT = 1  # of the record, and of what is done to layers
LEVEL = 1  # of gzip: 6 takes four times as long for a tenth less
PARALLEL = 2
DPKG = "var/lib/dpkg/status"  # what the distribution's packages are
# What differs from one making to the next, and that nothing reads at run time.
LEFT_OUT = (
    "var/log/*",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/*",
    "var/lib/apt/lists/*",
    "var/lib/dpkg/*-old",
    "etc/.pwd.lock",
    "etc/machine-id",
    "root/.cache/*",
    "tmp/*",
)
_PYC_FLAGS, _PYC_TIME = 4, 8  # https://peps.python.org/pep-0552/


@dataclass(frozen=True, slots=True)
class Layer:
    """`diff_id`: of its tar; `digest`, `size`: of that compressed, as registries hold it."""

    diff_id: str
    digest: str
    size: int

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(LAYER_GZIP, self.digest, self.size)


@dataclass(frozen=True, slots=True)
class Base:
    """All layers, bottom first, and the distribution's packages in them as (name, version)."""

    layers: tuple[Layer, ...]
    packages: tuple[tuple[str, str], ...] = ()


def remembered(reference: str, blobs: Blobs) -> Base | None:
    """What was made of this sandbox image before; its blobs may be gone. The reference names a digest of all inputs."""
    try:
        said = json.loads(_record(reference, blobs).read_text("utf-8"))
        if said["format"] != FORMAT:
            return None
        return Base(
            tuple(Layer(**each) for each in said["layers"]), tuple((one[0], one[1]) for one in said["packages"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_whole(base: Base, blobs: Blobs) -> bool:
    return all(blobs.has(layer.digest, layer.size) for layer in base.layers)


def make(reference: str, engine: Engine, blobs: Blobs, tell: Callable[[str], None]) -> Base:
    """Have the engine save the image, and keep its layers. Blocking: half a minute for 300 MB."""
    room = paths.home() / "images"
    room.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=room) as whole:
        engine.save(reference, whole)
        base = from_archive(whole, blobs, tell)
    said = {"format": FORMAT, "layers": [asdict(each) for each in base.layers], "packages": base.packages}
    record = _record(reference, blobs)
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    record.write_bytes(dumps(said))
    return base


def _record(reference: str, blobs: Blobs) -> Path:
    return blobs.folder.parent / "bases" / f"{reference.replace('/', '-').replace(':', '-')}.json"


def from_archive(whole: IO[bytes], blobs: Blobs, tell: Callable[[str], None] = lambda text: None) -> Base:
    """Of what `docker save` wrote, in whichever of its layouts."""
    whole.seek(0)
    with tarfile.open(fileobj=whole, mode="r:") as tar:
        listed: Any = json.load(_member(tar, "manifest.json"))
        names: Sequence[str] = listed[0]["Layers"]
        members = [_resolved(tar, name) for name in names]
    tell(f"{len(members)} layers, {sum(member.size for member in members) / 1e6:.0f} MB")

    def one(member: tarfile.TarInfo) -> tuple[Layer, str | None]:
        return _layer(cast(IO[bytes], _Section(whole, member.offset_data, member.size)), blobs)

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="layers") as executor:
        made = list(executor.map(one, members))
    status = next((text for _, text in reversed(made) if text is not None), "")
    return Base(tuple(layer for layer, _ in made), packages(status))


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        raise EngineError(f"the engine's archive has no file {name}")
    return found


def _resolved(tar: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """An older engine writes equal layers once, and links to the first."""
    member = tar.getmember(name)
    while member.issym():
        member = tar.getmember(str((Path("/") / Path(member.name).parent / member.linkname).resolve())[1:])
    return member


def _layer(source: IO[bytes], blobs: Blobs) -> tuple[Layer, str | None]:
    head = source.read(4)
    source.seek(0)
    if head[:2] == b"\x1f\x8b":
        source = cast(IO[bytes], gzip.GzipFile(fileobj=source))
    elif head == b"\x28\xb5\x2f\xfd":
        raise EngineError("the engine keeps layers compressed with zstd, which this fnctl cannot read")
    status: list[str] = []
    with blobs.writing() as out, zipped(out) as layer:
        diff_id = normalise(source, layer, {DPKG: lambda content: status.append(content.decode())})
    return Layer(diff_id, out.digest, out.size), status[-1] if status else None


def zipped(out: IO[bytes] | Writing) -> IO[bytes]:
    """What is written to it arrives at `out` compressed: the same bytes by the same zlib. Close it."""
    file = cast(IO[bytes], out)
    return cast(IO[bytes], gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=file, mtime=0))


def normalise(source: IO[bytes], out: IO[bytes], seen: Mapping[str, Callable[[bytes], None]] | None = None) -> str:
    """The layer in `source` as it is the same wherever it was made, on `out`; its diff id. `seen`: who is told the
    contents of a file of that name."""
    hashed = Hashed(out)
    with (
        tarfile.open(fileobj=source, mode="r:") as there,
        tarfile.open(fileobj=cast(IO[bytes], hashed), mode="w|", format=tarfile.PAX_FORMAT) as made,
    ):
        for member in there:
            member.name = member.name.removeprefix("./")
            if member.name in ("", ".") or any(fnmatchcase(member.name, pattern) for pattern in LEFT_OUT):
                continue
            content: IO[bytes] | None = there.extractfile(member) if member.isreg() else None
            if content is not None and (member.name.endswith(".pyc") or (seen and member.name in seen)):
                held = content.read()
                if seen and member.name in seen:
                    seen[member.name](held)
                content = io.BytesIO(_timeless(held) if member.name.endswith(".pyc") else held)
            made.addfile(_header(member), content)
    return f"sha256:{hashed.digest.hexdigest()}"


def _header(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same file with no time and no names of its owners: their numbers count."""
    header = tarfile.TarInfo(member.name)
    header.type, header.mode, header.size, header.linkname = member.type, member.mode, member.size, member.linkname
    if member.islnk():
        header.linkname = member.linkname.removeprefix("./")
    header.uid, header.gid = member.uid, member.gid
    header.devmajor, header.devminor = member.devmajor, member.devminor
    header.pax_headers = {name: value for name, value in member.pax_headers.items() if name.startswith("SCHILY.xattr.")}
    if not member.isreg():
        header.size = 0
    return header


def _timeless(content: bytes) -> bytes:
    """Compiled Python that goes by its source's time, which is 0 now."""
    by_time = content[_PYC_FLAGS:_PYC_TIME] == b"\0\0\0\0" and len(content) >= 16
    return content[:_PYC_TIME] + b"\0\0\0\0" + content[_PYC_TIME + 4 :] if by_time else content


def packages(status: str) -> tuple[tuple[str, str], ...]:
    """Name and version of every package that dpkg's status file has as installed, sorted."""
    found = []
    for paragraph in status.split("\n\n"):
        said = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[:1] != " ")
        if said.get("Status", "").endswith(" installed"):
            found.append((said["Package"], said["Version"]))
    return tuple(sorted(found))


class _Section(io.RawIOBase):
    """A part of a file, read at a place of its own: several threads read one file."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._fd, self._start, self._size, self._at = file.fileno(), start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        wanted = self._size - self._at if count < 0 else min(count, self._size - self._at)
        found = os.pread(self._fd, max(0, wanted), self._start + self._at)
        self._at += len(found)
        return found
