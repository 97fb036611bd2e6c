"""The digest of a bundle: the same for the same contents anywhere, another for anything that a function could see."""

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.builder import bundle, store, tree
from fnctl.builder.bundle import Item
from fnctl.errors import BuildError
from fnctl.model import Bundle

FILES = {"index.js": "main", "lib/a.js": "a", "lib/b.js": "", "bin/tool": "#!/bin/sh\n", "é/ü.txt": "ü"}


def project(folder: Path, order: list[str], umask: int = 0o022, mtime: int = 1_000_000_000) -> Path:
    before = os.umask(umask)
    try:
        for name in order:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(FILES[name])
            os.utime(path, (mtime, mtime))
        (folder / "bin/tool").chmod(0o755)
        (folder / "link").symlink_to("lib/a.js")
    finally:
        os.umask(before)
    return folder


def digest(folder: Path) -> str:
    return bundle.digest(store.index(folder))


def test_path_time_order_and_umask_do_not_count(tmp_path: Path) -> None:
    order = list(FILES)
    one = digest(project(tmp_path / "one", order))
    random.Random(7).shuffle(order)
    other = project(tmp_path / "an/other/place", order, umask=0o077, mtime=1_700_000_000)
    assert digest(other) == one
    target = tmp_path / "copy"
    target.mkdir()
    assert bundle.digest(store.copy(tree.scan(other), other, target)) == one == digest(target)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "index.js").write_text("other"),
        lambda root: (root / "index.js").rename(root / "main.js"),
        lambda root: (root / "index.js").chmod(0o755),
        lambda root: (root / "lib/b.js").unlink(),
        lambda root: (root / "new").write_text(""),
        lambda root: ((root / "link").unlink(), (root / "link").symlink_to("lib/b.js")),
        lambda root: ((root / "link").unlink(), (root / "link").write_text("lib/a.js")),
    ],
    ids=["content", "name", "mode", "removed", "added", "link target", "link to file"],
)
def test_everything_a_function_can_see_counts(tmp_path: Path, change: object) -> None:
    root = project(tmp_path / "p", list(FILES))
    before = digest(root)
    assert callable(change)
    change(root)
    assert digest(root) != before


def test_what_a_runtime_derives_does_not_count(tmp_path: Path) -> None:
    root = project(tmp_path / "p", list(FILES))
    before, sealed = digest(root), store.seal(root)
    derived = root / bundle.DERIVED / "v24" / "cache"
    derived.parent.mkdir(parents=True)
    derived.write_bytes(b"\0")
    assert (digest(root), store.seal(root)) == (before, sealed)


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
ITEMS = st.builds(Item, NAMES, st.sampled_from(["file", "program", "link"]), NAMES)


@given(st.lists(ITEMS, unique_by=lambda item: item.name), st.randoms())
def test_order_never_counts_and_json_keeps_all(items: list[Item], randomly: random.Random) -> None:
    shuffled = items.copy()
    randomly.shuffle(shuffled)
    assert bundle.digest(items) == bundle.digest(shuffled)
    assert list(bundle.loads(bundle.dumps(items))) == items


@given(
    st.lists(ITEMS, unique_by=lambda item: item.name, max_size=4),
    st.lists(ITEMS, unique_by=lambda i: i.name, max_size=4),
)
def test_two_different_trees_never_read_as_one(one: list[Item], other: list[Item]) -> None:
    """Framing: no name, kind or content can be taken for a part of another."""
    same = bundle.differences(one, other) == ()
    assert (bundle.digest(one) == bundle.digest(other)) == same


def test_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.bin", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    items = store.index(tmp_path)
    assert bundle.loads(bundle.dumps(items)) == items
    assert bundle.digest(items).startswith("sha256:")


def test_code_may_not_stand_where_dependencies_go() -> None:
    code = [Item("node_modules/a.js", "file", "00")]
    with pytest.raises(BuildError, match="is in the folder where dependencies"):
        bundle.merged(code, [Item("node_modules/b.js", "file", "00")], "node_modules")


def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    made = project(tmp_path / "home/bundles/.work-made", list(FILES))
    value = digest(made)
    root = store.adopt(made, value)
    return Bundle("f", value, root, "node24", "index.js", 1, 6)


@pytest.mark.parametrize("name", ["index.js", "lib/a.js", "bin/tool"])
def test_a_flipped_bit_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    kept = stored(tmp_path, monkeypatch)
    store.verify_tree(kept)
    path = kept.root / name
    was = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))  # as bit rot would: no time tells of it
    with pytest.raises(BuildError) as caught:
        store.verify_tree(kept)
    assert caught.value.code == "damaged"
    assert kept.digest in caught.value.message


def test_a_damaged_bundle_is_replaced_and_a_whole_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = stored(tmp_path, monkeypatch)
    inode = (kept.root / "index.js").stat().st_ino
    again = project(tmp_path / "home/bundles/.work-again", list(FILES))
    assert store.adopt(again, kept.digest) == kept.root
    assert (kept.root / "index.js").stat().st_ino == inode
    (kept.root / "index.js").write_text("damaged")
    assert store.adopt(again, kept.digest) == kept.root
    store.verify_tree(kept)


def test_only_working_folders_of_dead_processes_are_swept(tmp_path: Path) -> None:
    with store.working_folder(tmp_path) as mine:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        dead = tmp_path / f".work-{child}-00"
        (dead / "app").mkdir(parents=True)
        store.sweep(tmp_path)
        assert mine.is_dir()
        assert not dead.exists()
    assert list(tmp_path.iterdir()) == []


def test_linked_dependencies_can_be_read_by_any_user_whatever_the_umask(tmp_path: Path) -> None:
    source, root = project(tmp_path / "deps", list(FILES)), tmp_path / "app"
    root.mkdir()
    before = os.umask(0o077)
    try:
        store.link(store.index(source), source, root)
    finally:
        os.umask(before)
    folders = [path for path in root.rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o755}
    assert (root / "index.js").stat().st_ino == (source / "index.js").stat().st_ino
    assert (root / "link").readlink() == Path("lib/a.js")


def test_items_compare_by_more_than_name() -> None:
    item = Item("a", "file", "00")
    assert bundle.differences([item], [replace(item, kind="program")]) == ("a",)
    assert bundle.differences([item], []) == ("a",)
