"""The file of a backup: what was written is read, and a file that is damaged in any way is not."""

from __future__ import annotations

import io
import resource
import tarfile
from pathlib import Path

import pytest

from fnctl.control import backup_file
from fnctl.control.backup_file import Manifest
from fnctl.errors import BackupError, FnctlError

CONTENT = {"state/store.db": b"s" * 100_000, "state/releases/a.json": b"{}", "volumes/data.tar": b"v" * 30_000}


def written(folder: Path) -> tuple[Path, Manifest]:
    parts = {}
    for name, content in CONTENT.items():
        parts[name] = folder / name.replace("/", "-")
        parts[name].write_bytes(content)
    target = folder / "shop.backup"
    return target, backup_file.write(target, "shop", parts)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file, manifest = written(tmp_path)
    assert manifest.services == ("data",)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert backup_file.unpack(file, tmp_path / "out") == manifest
    assert {part.name: (tmp_path / "out" / part.name).read_bytes() for part in manifest.parts} == CONTENT


def test_a_file_that_is_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    whole = file.read_bytes()
    end = whole.rindex(b"manifest.json") + 512 + 1  # behind it is padding alone
    for at in (0, 1, 511, 512, 1024, 1500, 50_000, 102_500, 131_000, end - 512, end):
        file.write_bytes(whole[:at])
        with pytest.raises(BackupError):
            backup_file.unpack(file, tmp_path / f"out{at}")


@pytest.mark.parametrize("what", [b"s" * 100, b"v" * 100, b"{}", b"sha256"])
def test_a_file_in_which_something_has_changed_is_refused(tmp_path: Path, what: bytes) -> None:
    file, _ = written(tmp_path)
    whole = bytearray(file.read_bytes())
    whole[whole.index(what)] ^= 1
    file.write_bytes(whole)
    with pytest.raises(BackupError, match="damaged"):
        backup_file.unpack(file, tmp_path / "out")


def archive(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([], "is not a backup of fnctl"),
        ([("etc/passwd", b"root")], "is not a backup of fnctl"),
        ([("fnctl-backup", b"2\n")], "has format 2, and this fnctl reads format 1"),
        ([("fnctl-backup", b"1\n")], "cut short"),
        ([("fnctl-backup", b"1\n"), ("../../etc/passwd", b"root")], "damaged: it has a part"),
        ([("fnctl-backup", b"1\n"), ("volumes/../x.tar", b"root")], "damaged: it has a part"),
        ([("fnctl-backup", b"1\n"), ("state/keys.json", b"1"), ("state/keys.json", b"2")], "damaged: it has a part"),
        ([("fnctl-backup", b"1\n"), ("manifest.json", b"[]")], "damaged"),
        (
            [
                ("fnctl-backup", b"1\n"),
                ("state/keys.json", b"1"),
                ("manifest.json", b'{"project": "a", "at": 1, "fnctl": "1", "parts": []}'),
            ],
            "state/keys.json is not what it was",
        ),
    ],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, members: list[tuple[str, bytes]], said: str) -> None:
    with pytest.raises(BackupError, match=said.replace("(", r"\(")):
        backup_file.unpack(archive(tmp_path / "file", *members), tmp_path / "out")


def test_neither_a_text_nor_nothing_is_a_backup(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello" * 1000)
    for name in ("file", "none"):
        with pytest.raises(BackupError):
            backup_file.unpack(tmp_path / name, tmp_path / "out")


def test_a_disk_that_is_full_leaves_the_file_before(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    before = file.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
    try:
        with pytest.raises(FnctlError, match="File too large"):
            backup_file.write(file, "shop", {"state/store.db": tmp_path / "state-store.db"})
        with pytest.raises(FnctlError, match="File too large"):
            backup_file.unpack(file, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
