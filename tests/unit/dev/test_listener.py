"""The listener: what it hears of real files, what it does where the kernel has no room, and what it says then."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fnctl.builder import ignore
from fnctl.dev.area import Area, Areas
from fnctl.dev.kernel import Event, Flags, FolderEvents
from fnctl.dev.listener import Heard, Listener, Watching
from fnctl.dev.scan import is_remote, mounted, stamp
from fnctl.errors import FnctlError
from tests.support.waiting import until


@dataclass
class Ear:
    heard: list[Heard] = field(default_factory=list)
    watching: list[Watching] = field(default_factory=list)
    told: list[FnctlError] = field(default_factory=list)

    @property
    def functions(self) -> set[str]:
        return {name for each in self.heard for name in each.functions}


@contextlib.contextmanager
def listening(areas: list[Area], *files: Path, kernel: Callable[[], FolderEvents] = FolderEvents) -> Iterator[Ear]:
    ear = Ear()
    listener = Listener(Areas(areas), files, ear.heard.append, ear.watching.append, ear.told.append, kernel)
    listener.start()
    assert listener.begun.wait(30)
    try:
        yield ear
    finally:
        listener.stop()
        listener.join(30)
        assert not listener.is_alive()


def area(root: Path, name: str = "f", rules: str = "") -> Area:
    return Area(name, root, ignore.parse(rules), frozenset({".dockerignore", "package.json"}))


class Full(FolderEvents):
    """A kernel whose user has no watch left after two."""

    left = 2

    def add_watch(self, folder: str, mask: int) -> int:
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.left -= 1
        return super().add_watch(folder, mask)


class Forgetful(FolderEvents):
    """A kernel that drops events: says so once instead of what happened."""

    dropped = False

    def read(self) -> list[Event]:
        events = super().read()
        if events and not Forgetful.dropped:
            Forgetful.dropped = True
            return [Event(-1, Flags.Q_OVERFLOW, "")]
        return events


def test_a_folder_that_is_left_out_is_not_watched(tmp_path: Path) -> None:
    for folder in ("src/deep", "node_modules/a/b", ".git/objects", "data/big", ".idea", "venv/lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    with listening([area(tmp_path, rules="data")]) as ear:
        assert ear.watching == [Watching(3)]
        (tmp_path / "node_modules" / "x").touch()
        (tmp_path / "data" / "x").touch()
        (tmp_path / "src" / "deep" / "x").touch()
        until(lambda: ear.functions == {"f"}, "the edit")
        assert len(ear.heard) <= 2  # its making and its closing, told together or apart


def test_one_folder_of_several_functions_is_watched_for_those_that_take_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with listening([area(tmp_path, "one", "b"), area(tmp_path, "two"), area(tmp_path / "b", "three")]) as ear:
        (tmp_path / "b" / "x").touch()
        until(lambda: ear.functions == {"two", "three"}, "those that read b")


def test_where_the_kernel_has_no_room_files_are_looked_at(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    with listening([area(tmp_path)], kernel=Full) as ear:
        (told,) = ear.told
        assert told.message.startswith("cannot watch 4 folders: the limit fs.inotify.max_user_watches is ")
        assert told.hint is not None
        assert "sysctl fs.inotify.max_user_watches=" in told.hint
        (tmp_path / "c" / "x").touch()
        until(lambda: ear.functions == {"f"}, "the edit")


def test_events_that_the_kernel_dropped_are_made_up_for(tmp_path: Path) -> None:
    Forgetful.dropped = False
    with listening([area(tmp_path)], kernel=Forgetful) as ear:
        (tmp_path / "new").mkdir()
        until(lambda: ear.functions == {"f"}, "everything to be checked")
        assert [each.code for each in ear.told] == ["watch_overflow"]
        until(lambda: ear.watching[-1] == Watching(2), "the new folder to be watched too")
        ear.heard.clear()
        (tmp_path / "new" / "x").touch()
        until(lambda: ear.functions == {"f"}, "the edit in it")


def test_files_of_the_configuration_and_folders_that_are_others_now(tmp_path: Path) -> None:
    (tmp_path / "r" / "code").mkdir(parents=True)
    (tmp_path / "k" / "..1").mkdir(parents=True)
    (tmp_path / "k" / "..data").symlink_to("..1")
    (tmp_path / "k" / "secret").symlink_to("..data/secret")
    with listening([area(tmp_path / "r" / "code")], tmp_path / "later.env", tmp_path / "k" / "secret") as ear:
        (tmp_path / "later.env").touch()
        until(lambda: any(each.files for each in ear.heard), "a file that comes")
        ear.heard.clear()
        (tmp_path / "k" / "..1" / "secret").touch()
        until(lambda: any(each.files for each in ear.heard), "a file behind two links, as Kubernetes places them")
        (tmp_path / "r").rename(tmp_path / "gone")  # the folder above: the kernel says nothing of it
        until(lambda: ear.functions == {"f"}, "a folder that is gone")
        ear.heard.clear()
        (tmp_path / "r" / "code").mkdir(parents=True)
        until(lambda: ear.functions == {"f"}, "another in its place")


def test_remote_file_systems() -> None:
    mounts = {"/": "ext4", "/mnt/c": "9p", "/srv": "nfs4", "/srv/local": "ext4", "/home/u/s": "fuse.sshfs"}
    far = [path for path in ("/mnt/c/x", "/mnt/cd", "/srv/a", "/srv/local/a", "/home/u/s/x") if is_remote(path, mounts)]
    assert far == ["/mnt/c/x", "/srv/a", "/home/u/s/x"]
    assert "/" in mounted() and mounted(Path("/nowhere")) == {}


def test_a_folders_stamp_is_its_identity(tmp_path: Path) -> None:
    before = stamp(tmp_path)
    (tmp_path / "x").touch()
    assert stamp(tmp_path) == before
    assert stamp(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["4913", ".#x.js", "x.js~", ".x.js.swp", "x.js___jb_tmp___", ".goutputstream-1"])
def test_what_editors_make_beside_is_no_edit(tmp_path: Path, name: str) -> None:
    assert not area(tmp_path).has(f"src/{name}")
    assert area(tmp_path).has("src/x.js")
