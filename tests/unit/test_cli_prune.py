"""What prune takes and what it leaves, decided from an inventory."""

from __future__ import annotations

from pathlib import Path

from fnctl.cli.leftovers import Inventory, disk_size, leftovers
from fnctl.cli.prune import listing, total
from fnctl.engine.base import LABEL_PROJECT, LABEL_ROLE, ImageInfo
from fnctl.model import SandboxInfo


def box(name: str, project: str | None = None, role: str = "sandbox", running: bool = True) -> SandboxInfo:
    labels = {LABEL_ROLE: role} | ({LABEL_PROJECT: project} if project else {})
    return SandboxInfo(id=f"id-{name}", name=name, running=running, pid=1, labels=labels)


def image(tag: str | None, role: str) -> ImageInfo:
    return ImageInfo(id=f"id-{tag}", tags=(tag,) if tag else (), labels={LABEL_ROLE: role}, size_bytes=10, layers=())


THERE = Inventory(
    live=frozenset({"live"}),
    containers=(box("l", "live"), box("d", "dead"), box("b", role="build"), box("e", role="build", running=False)),
    networks={"ln": {LABEL_PROJECT: "live"}, "dn": {LABEL_PROJECT: "dead"}},
    volumes={"lv": {LABEL_PROJECT: "live"}, "dv": {LABEL_PROJECT: "dead"}},
    images=(
        image("sandbox:1", "layer"), image(None, "layer"), image("f:live", "function"), image("f:dead", "function"),
        image("f:old", "function"),
    ),
    released={"live": frozenset({"sha256:aa", "f:live", "dd"}), "dead": frozenset({"sha256:bb", "f:dead"})},
    bundles=(Path("/b/aa"), Path("/b/bb"), Path("/b/cc"), Path("/b/.work-1")),
    dependencies=(Path("/d/dd"), Path("/d/ee")),
    slots={"live": (Path("/s/1"),), "dead": (Path("/s/2"),)},
    cache=(Path("/c/downloads"),),
)  # fmt: skip


def taken(there: Inventory, everything: bool = False, volumes: bool = False) -> list[str]:
    found = leftovers(there, everything=everything, volumes=volumes, size=lambda path: 1)
    return [f"{each.kind} {each.target}" for each in found]


def test_what_a_next_run_uses_stays() -> None:
    assert taken(THERE) == [
        "container id-d", "container id-e", "network dn", "image id-None", "image f:old", "bundle /b/cc",
        "dependencies /d/ee", "slots /s/2",
    ]  # fmt: skip


def test_all_takes_what_no_running_service_uses() -> None:
    assert taken(THERE, everything=True) == [
        "container id-d", "container id-e", "network dn", "image f:dead", "image f:old", "bundle /b/bb", "bundle /b/cc",
        "dependencies /d/ee", "slots /s/2",
    ]  # fmt: skip


def test_all_without_a_service_takes_layers_and_caches_too() -> None:
    alone = Inventory(images=THERE.images, released=THERE.released, bundles=THERE.bundles, cache=THERE.cache)
    assert taken(alone, everything=True) == [
        "image sandbox:1", "image id-None", "image f:live", "image f:dead", "image f:old", "bundle /b/aa",
        "bundle /b/bb", "bundle /b/cc", "cache /c/downloads",
    ]  # fmt: skip


def test_volumes_go_only_where_asked_for() -> None:
    assert "volume dv" in taken(THERE, volumes=True)
    assert not [each for each in taken(THERE, everything=True) if each.startswith("volume")]
    assert "volume lv" not in taken(THERE, everything=True, volumes=True)


def test_it_is_told_what_and_how_much() -> None:
    found = list(leftovers(THERE, everything=False, volumes=False, size=lambda path: 2_000_000))
    assert total(found) == "2 containers, 1 network, 2 images, 1 bundle, 1 dependencies, 1 slots, at most 6.0 MB"
    assert "bundle        cc       2.0 MB" in listing(found)


def test_a_linked_file_frees_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 100)
    (tmp_path / "a" / "two").write_bytes(b"x" * 10)
    (tmp_path / "elsewhere").hardlink_to(tmp_path / "a" / "one")
    assert disk_size(tmp_path / "a") == 10
