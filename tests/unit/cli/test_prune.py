"""What prune takes and what it leaves, decided from an inventory."""

from __future__ import annotations

from pathlib import Path

from fnctl.cli.prune import kept_of_others, listing, total
from fnctl.control.prunable import UNKNOWN, Inventory, Scope, disk_size, elsewhere, leftovers, others
from fnctl.engine.port import LABEL_FOLDER, LABEL_HOME, LABEL_PROJECT, LABEL_ROLE, LABEL_USER, ImageInfo
from fnctl.model import SandboxInfo


def labels(project: str | None, home: str | None = "home", role: str = "sandbox") -> dict[str, str]:
    found = {LABEL_ROLE: role, LABEL_PROJECT: project, LABEL_HOME: home if project else None}
    return {key: value for key, value in found.items() if value}


def box(
    name: str, project: str | None = None, role: str = "sandbox", running: bool = True, home: str | None = "home"
) -> SandboxInfo:
    return SandboxInfo(f"id-{name}", name, running, 1, labels(project, home, role))


def image(tag: str | None, role: str) -> ImageInfo:
    return ImageInfo(id=f"id-{tag}", tags=(tag,) if tag else (), labels={LABEL_ROLE: role}, size_bytes=10, layers=())


THERE = Inventory(
    home="home",
    user="ada",
    live=frozenset({("home", "live")}),
    containers=(box("l", "live"), box("d", "dead"), box("b", role="build"), box("e", role="build", running=False)),
    networks={"ln": labels("live"), "dn": labels("dead")},
    volumes={"lv": labels("live"), "dv": labels("dead")},
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
    folders={"live": "/srv/live", "dead": "/srv/dead"},
)


def taken(
    there: Inventory, everything: bool = False, volumes: bool = False, project: str | None = None, *homes: str
) -> list[str]:
    found = leftovers(there, Scope(project, everything, volumes, frozenset(homes)), lambda path: 1)
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
    assert taken(there, everything=True) == ["image fnctl/dead/f:2"]
    assert taken(there, True, False, None, "all") == ["image fnctl/theirs/f:1", "image fnctl/dead/f:2"]


def test_services_of_another_home_are_left_alone() -> None:
    boxes = (box("x", "p", home="theirs"), box("y", "p"), box("z", "q", running=False, home="theirs"), box("w"))
    assert elsewhere(boxes, "home") == {("theirs", "p")}


def test_one_project_is_pruned_and_nothing_of_another_or_of_all() -> None:
    assert taken(THERE, False, True, "dead") == [
        "container id-d",
        "network dn",
        "volume dv",
        "image fnctl/dead/f:0",
        "slots /s/2",
    ]
    assert taken(THERE, True, False, "dead") == [
        "container id-d",
        "network dn",
        "image fnctl/dead/f:1",
        "image fnctl/dead/f:0",
        "bundle /b/bb",
        "slots /s/2",
    ]
    assert taken(THERE, True, True, "live") == []
    assert taken(THERE, True, True, "no such project") == []


def test_what_another_home_made_goes_only_where_that_is_named() -> None:
    theirs = {**labels("dead", "theirs"), LABEL_USER: "bob", LABEL_FOLDER: "/home/bob/shop"}
    old = labels("elsewhere", None)
    there = Inventory(
        home="home",
        containers=(box("mine", "dead"), box("theirs", "dead", running=False, home="theirs")),
        volumes={"v-mine": labels("dead"), "v-theirs": theirs, "v-old": old},
        released={"dead": frozenset()},
    )
    assert taken(there, volumes=True) == ["container id-mine", "volume v-mine"]
    assert taken(there, False, True, "dead") == ["container id-mine", "volume v-mine"]
    named = taken(there, False, True, None, "theirs")
    assert named == ["container id-mine", "container id-theirs", "volume v-mine", "volume v-theirs"]
    assert "volume v-old" in taken(there, False, True, None, "all")
    kept = others(there, Scope(volumes=True), lambda path: 1)
    assert {each.home for each in kept} == {"theirs", UNKNOWN}
    said = kept_of_others(kept)
    assert "kept 1 container, 1 volume" in said
    assert "of another fnctl home (bob: /home/bob/shop); --home theirs" in said
    assert others(there, Scope(volumes=True, homes=frozenset({"all"})), lambda path: 1) == []


def test_what_an_older_fnctl_made_stays_while_anybody_serves_its_project() -> None:
    there = Inventory(
        home="home",
        live=frozenset({("theirs", "shared")}),
        containers=(box("running", "dead", home=None), box("ended", "dead", running=False, home=None)),
        volumes={"used": labels("shared", None), "free": labels("dead", None)},
        released={"dead": frozenset(), "shared": frozenset()},
    )
    assert taken(there, volumes=True) == ["container id-ended", "volume free"]


def test_it_is_told_what_whose_and_how_much() -> None:
    found = list(leftovers(THERE, Scope(), lambda path: 2_000_000))
    assert total(found) == "2 containers, 1 network, 2 images, 1 bundle, 1 dependencies, 1 slots, at most 6.0 MB"
    lines = [" ".join(line.split()) for line in listing(found).splitlines()]
    assert lines[0] == "KIND NAME SIZE OWNER FOLDER"
    assert "container d - ada /srv/dead" in lines
    assert "slots dead/2 2.0 MB ada /srv/dead" in lines


def test_the_size_of_a_volume_is_that_of_its_files() -> None:
    asked: list[Path] = []

    def size(path: Path) -> int:
        asked.append(path)
        return 5

    there = Inventory(
        home="home", volumes={"v": labels("dead")}, volumes_at=Path("/engine/volumes"), released={"dead": frozenset()}
    )
    (found,) = leftovers(there, Scope(volumes=True), size)
    assert (found.size_bytes, asked) == (5, [Path("/engine/volumes/v")])


def test_a_linked_file_frees_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 100)
    (tmp_path / "a" / "two").write_bytes(b"x" * 10)
    (tmp_path / "elsewhere").hardlink_to(tmp_path / "a" / "one")
    assert disk_size(tmp_path / "a") == 10
