"""What takes the disk: each thing once, with who holds it, and whether prune would take it."""

from __future__ import annotations

from pathlib import Path

from fnctl.control.disk import taken
from fnctl.control.prunable import Inventory, Scope, leftovers
from fnctl.engine.port import LABEL_PROJECT, LABEL_ROLE, ImageInfo

THERE = Inventory(
    home="home",
    images=(
        ImageInfo("id-1", ("fnctl/sandbox:1",), {LABEL_ROLE: "layer"}, 100, ()),
        ImageInfo("id-2", (), {LABEL_ROLE: "layer"}, 50, ()),
    ),
    volumes={"v": {LABEL_PROJECT: "one"}},
    released={"one": frozenset({"sha256:aa"}), "two": frozenset({"sha256:aa", "sha256:bb"})},
    bundles=(Path("/b/aa"), Path("/b/bb"), Path("/b/cc")),
    folders={"one": "/srv/one", "two": "/srv/two"},
    versions={"two": {"sha256:bb": ("version 3 (current)", "version 2 (prod, open calls)")}},
    volumes_at=Path("/v"),
)


def test_each_has_its_holders() -> None:
    rows = list(taken(THERE, leftovers(THERE, Scope(), lambda path: 7), lambda path: 7))
    assert [(each.kind, each.name, each.size_bytes, each.held_by, each.removable) for each in rows] == [
        ("bundle", "aa", 7, ("/srv/one", "/srv/two"), False),
        ("bundle", "bb", 7, ("/srv/two, version 3 (current), version 2 (prod, open calls)",), False),
        ("bundle", "cc", 7, (), True),
        ("image", "fnctl/sandbox:1", 100, ("shared",), False),
        ("image", "id-2", 50, (), True),
        ("volume", "v", 7, ("/srv/one",), False),
    ]
