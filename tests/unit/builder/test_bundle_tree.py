"""Reading a folder: what a bundle can hold, and what is refused before anything is written."""

import os
import socket
from pathlib import Path

import pytest

from fnctl.builder import store, tree
from fnctl.errors import BuildError


def write(folder: Path, name: str, text: str = "x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(folder: Path) -> list[str]:
    return [entry.name for entry in tree.scan(folder)]


def test_what_is_there_comes_sorted_by_bytes_and_of_folders_those_that_are_empty(tmp_path: Path) -> None:
    for name in ("b/x", "b.js", "a", "B", "é", "logs/x.log"):
        write(tmp_path, name)
    (tmp_path / "app/public").mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    found = tree.scan(tmp_path, leaves_out=lambda name: name.endswith(".log"), skips=lambda name: name == "cache")
    assert [entry.name for entry in found] == ["B", "a", "app/public", "b.js", "b/x", "é"]
    assert [entry.name for entry in found if entry.folder] == ["app/public"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "sub/../../secret", "up/../../secret", ".."])
def test_a_symlink_that_leaves_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    write(root, "sub/file")
    write(tmp_path, "secret")
    (root / "up").symlink_to("sub")
    (root / "link").symlink_to(target)
    with pytest.raises(BuildError, match="symlink link leaves"):
        names(root)


def test_a_symlink_is_judged_by_where_it_leads_not_by_its_words_alone(tmp_path: Path) -> None:
    """`deep/here` is the root itself, so that `here/../secret`, harmless to read, is a step out of it."""
    root = tmp_path / "root"
    write(root, "deep/file")
    write(tmp_path, "secret")
    (root / "deep" / "here").symlink_to("..")
    (root / "deep" / "link").symlink_to("here/../secret")
    with pytest.raises(BuildError, match="deep/link leaves"):
        names(root)


def test_symlinks_inside_stay_symlinks_and_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "lib/index.js")
    (tmp_path / "current").symlink_to("lib")
    (tmp_path / "lib" / "self").symlink_to("self")
    (tmp_path / "dangling").symlink_to("not/there")
    found = {entry.name: entry.target for entry in tree.scan(tmp_path)}
    assert found == {"current": "lib", "dangling": "not/there", "lib/index.js": "", "lib/self": "self"}


def test_pipes_and_sockets_are_refused_unless_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BuildError, match="pipe is a pipe"):
        names(tmp_path)
    assert tree.scan(tmp_path, leaves_out=lambda name: name == "pipe") == ()
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's address is short
        listener.bind("s")
        with pytest.raises(BuildError, match="s is a socket"):
            tree.scan(tmp_path, leaves_out=lambda name: name == "pipe")


def test_a_virtualenv_of_any_name_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "my-env/pyvenv.cfg")
    write(tmp_path, "my-env/lib/x.py")
    write(tmp_path, "app.py")
    assert names(tmp_path) == ["app.py"]


def test_setuid_and_odd_modes_end_in_the_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    write(source, "tool").chmod(0o6755)
    write(source, "private").chmod(0o600)
    target.mkdir()
    items = store.copy(tree.scan(source), source, target)
    assert [(item.name, item.kind) for item in items] == [("private", "file"), ("tool", "program")]
    assert (target / "tool").stat().st_mode & 0o7777 == 0o755
    assert (target / "private").stat().st_mode & 0o7777 == 0o644


def test_a_file_that_became_a_symlink_meanwhile_is_not_followed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    file = write(source, "file")
    entries = tree.scan(source)
    file.unlink()
    file.symlink_to(write(tmp_path, "secret"))
    target.mkdir()
    with pytest.raises(OSError):
        store.copy(entries, source, target)


def test_too_much_is_refused(tmp_path: Path) -> None:
    with write(tmp_path, "huge").open("r+b") as file:
        file.truncate(tree.MAX_BYTES + 1)  # sparse: takes no disk
    with pytest.raises(BuildError, match="too large"):
        names(tmp_path)
