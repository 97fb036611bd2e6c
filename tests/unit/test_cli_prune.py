"""What prune takes and what it leaves, decided from an inventory."""

from __future__ import annotations

from pathlib import Path

from fnctl.cli.leftovers import Inventory, disk_size, elsewhere, leftovers
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
        image("fnctl/sandbox:1", "layer"),
        image(None, "layer"),
        image("fnctl/live/f:1", "function"),
        image("fnctl/dead/f:1", "function"),
        image("fnctl/dead/f:0", "function"),
    ),
    released={
        "live": frozenset({"sha256:aa", "fnctl/live/f:1", "dd"}),
        "dead": frozenset({"sha256:bb", "fnctl/dead/f:1"}),
    },
    bundles=(Path("/b/aa"), Path("/b/bb"), Path("/b/cc"), Path("/b/.work-1")),
    dependencies=(Path("/d/dd"), Path("/d/ee")),
    slots={"live": (Path("/s/1"),), "dead": (Path("/s/2"),)},
    cache=(Path("/c/downloads"),),
)


def taken(there: Inventory, everything: bool = False, volumes: bool = False) -> list[str]:
    found = leftovers(there, everything=everything, volumes=volumes, size=lambda path: 1)
    return [f"{each.kind} {each.target}" for each in found]


def test_what_a_next_run_uses_stays() -> None:
    assert taken(THERE) == [
        "container id-d",
        "container id-e",
        "network dn",
        "image id-None",
        "image fnctl/dead/f:0",
        "bundle /b/cc",
        "dependencies /d/ee",
        "slots /s/2",
    ]


def test_all_takes_what_no_running_service_uses() -> None:
    assert taken(THERE, everything=True) == [
        "container id-d",
        "container id-e",
        "network dn",
        "image id-None",
        "image fnctl/dead/f:1",
        "image fnctl/dead/f:0",
        "bundle /b/bb",
        "bundle /b/cc",
        "dependencies /d/ee",
        "slots /s/2",
    ]


def test_all_without_a_service_takes_layers_and_caches_too() -> None:
    alone = Inventory(images=THERE.images, released=THERE.released, bundles=THERE.bundles, cache=THERE.cache)
    assert taken(alone, everything=True) == [
        "image fnctl/sandbox:1",
        "image id-None",
        "image fnctl/live/f:1",
        "image fnctl/dead/f:1",
        "image fnctl/dead/f:0",
        "bundle /b/aa",
        "bundle /b/bb",
        "bundle /b/cc",
        "cache /c/downloads",
    ]


def test_volumes_go_only_where_asked_for() -> None:
    assert "volume dv" in taken(THERE, volumes=True)
    assert not [each for each in taken(THERE, everything=True) if each.startswith("volume")]
    assert "volume lv" not in taken(THERE, everything=True, volumes=True)


def test_images_of_another_home_and_names_of_others_stay() -> None:
    theirs = image("fnctl/theirs/f:1", "function")
    named = ImageInfo("id", ("fnctl/dead/f:2", "shop/f:2"), {LABEL_ROLE: "function"}, 10, ())
    there = Inventory(images=(theirs, named), released={"dead": frozenset()})
    assert taken(there) == ["image fnctl/dead/f:2"]
    assert taken(there, everything=True) == ["image fnctl/theirs/f:1", "image fnctl/dead/f:2"]


def test_services_of_another_home_are_left_alone() -> None:
    boxes = (box("x", "theirs"), box("y", "mine"), box("z", "gone", running=False), box("w"))
    assert elsewhere(boxes, {"mine"}) == {"theirs"}


def test_it_is_told_what_and_how_much() -> None:
    found = list(leftovers(THERE, everything=False, volumes=False, size=lambda path: 2_000_000))
    assert total(found) == "2 containers, 1 network, 2 images, 1 bundle, 1 dependencies, 1 slots, at most 6.0 MB"
    assert "bundle cc 2.0 MB" in [" ".join(line.split()) for line in listing(found).splitlines()]


def test_a_linked_file_frees_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 100)
    (tmp_path / "a" / "two").write_bytes(b"x" * 10)
    (tmp_path / "elsewhere").hardlink_to(tmp_path / "a" / "one")
    assert disk_size(tmp_path / "a") == 10
