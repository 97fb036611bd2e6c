"""A backup takes the place of a project's state whole, or not at all; who was cut short in between is told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fnctl.builder.base_image import BASE
from fnctl.control import backup, restore
from fnctl.control.lock import ProjectLock
from fnctl.engine.fake import FakeEngine
from fnctl.engine.port import LABEL
from fnctl.errors import BackupError, ConflictError, EngineError
from fnctl.model import Project
from fnctl.paths import ProjectPaths, home_id
from fnctl.progress import Silent
from fnctl.store.sqlite import connected

OLD = {"keys.json": "old keys", "versions.json": "old versions", "releases/gone.json": "{}"}
NEW = {"keys.json": "new keys", "releases/shop.json": "{}"}


class Stage:
    """A project with a volume, on an engine in memory."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(root=folder, id="0123456789ab", functions=())
        self.paths = ProjectPaths.of(self.project.id).ensure()
        self.engine = FakeEngine()
        self.engine.add_image(BASE, {LABEL: "1"})
        self.volume = f"fnctl-{home_id()}-{self.project.id}-data"
        self.file = folder / "shop.backup"

    def state(self, files: dict[str, str], rows: int, content: bytes) -> None:
        """What the project has from now on."""
        for path in (*self.paths.root.glob("*.json"), *self.paths.releases.iterdir(), self.paths.store):
            path.unlink(missing_ok=True)
        for name, text in files.items():
            (self.paths.root / name).write_text(text)
        store = connected(str(self.paths.store))
        store.execute("CREATE TABLE calls (id)")
        store.executemany("INSERT INTO calls VALUES (?)", [(number,) for number in range(rows)])
        store.close()
        self.engine.ensure_volume(self.volume, backup.labels_of(self.project.id))
        self.engine.write_volume(self.volume, BASE, {}, io.BytesIO(content))

    def found(self) -> tuple[dict[str, str], int, bytes]:
        root = self.paths.root
        files = {name: (root / name).read_text() for name in {*OLD, *NEW} if (root / name).exists()}
        store = connected(str(self.paths.store))
        (rows,) = store.execute("SELECT count(*) FROM calls").fetchone()
        store.close()
        return files, rows, self.engine.contents[self.volume]

    def restore(self) -> tuple[str, ...]:
        with restore.checked(self.file, self.paths, self.engine, Silent()) as checked:
            restore.put_in_place(checked, self.project, self.paths, self.engine, Silent())
        return checked.replaced


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Whose backup has other things than are there by now."""
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    made = Stage(tmp_path)
    made.state(NEW, 7, b"new")
    backup.back_up(made.paths, made.file, "shop", made.engine, Silent())
    made.state(OLD, 3, b"old")
    return made


def test_all_of_it_takes_the_place_of_what_was_there(stage: Stage) -> None:
    assert stage.restore() == ("store.db", "keys.json", "versions.json", "releases", f"volume {stage.volume}")
    assert stage.found() == (NEW, 7, b"new")
    assert list(stage.paths.root.glob(".restore*")) == []
    restore.check_whole(stage.paths)


def test_where_nothing_is_it_is_made(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "other"))
    other = Stage(tmp_path)
    assert other.restore() == ()
    assert other.found() == (NEW, 7, b"new")


@pytest.mark.parametrize("call", ["read_volume", "remove_volume", "ensure_volume", "write_volume"])
def test_what_fails_on_the_way_leaves_all_as_it_was(stage: Stage, call: str) -> None:
    stage.engine.fail(call, EngineError("no space left on device"))
    with pytest.raises(EngineError, match="no space"):
        stage.restore()
    assert stage.found() == (OLD, 3, b"old")
    assert list(stage.paths.root.glob(".restore*")) == []
    restore.check_whole(stage.paths)


def test_what_cannot_be_taken_back_is_told_and_kept(stage: Stage) -> None:
    stage.engine.fail("write_volume", EngineError("no space left on device"))
    stage.engine.fail("write_volume", EngineError("still none"))
    with pytest.raises(EngineError, match="still none"):
        stage.restore()
    with pytest.raises(ConflictError, match="did not end") as told:
        restore.check_whole(stage.paths)
    assert "--yes" in (told.value.hint or "")
    (kept,) = stage.paths.root.glob(".restore*/old-data.tar")
    assert kept.read_bytes() == b"old"
    stage.restore()
    restore.check_whole(stage.paths)
    assert stage.found() == (NEW, 7, b"new")
    assert list(stage.paths.root.glob(".restore*")) == []


def test_a_damaged_file_changes_nothing(stage: Stage) -> None:
    whole = stage.file.read_bytes()
    stage.file.write_bytes(whole[: len(whole) // 2])
    calls = len(stage.engine.calls)
    with pytest.raises(BackupError):
        stage.restore()
    assert stage.found() == (OLD, 3, b"old") and len(stage.engine.calls) == calls
    assert list(stage.paths.root.glob(".restore*")) == []


def test_nothing_of_the_project_starts_while_a_backup_is_made(stage: Stage) -> None:
    with backup.at_rest(stage.paths, services=True), pytest.raises(ConflictError, match="already running"):
        ProjectLock(stage.paths.lock).acquire()


def test_an_engine_that_fails_leaves_no_file(stage: Stage, tmp_path: Path) -> None:
    stage.engine.fail("read_volume", EngineError("gone"))
    there = sorted(tmp_path.iterdir())
    with pytest.raises(EngineError, match="gone"):
        backup.back_up(stage.paths, tmp_path / "another", "shop", stage.engine, Silent())
    assert sorted(tmp_path.iterdir()) == there
