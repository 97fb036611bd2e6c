"""Which volumes are told to be left behind, and how they are used again."""

from __future__ import annotations

from pathlib import Path

from fnctl.engine.port import LABEL_FOLDER, LABEL_HOME, LABEL_PROJECT
from fnctl.projects import Known
from fnctl.services.left_behind import left_behind
from fnctl.services.plan import Owner


def labels(project: str, folder: str) -> dict[str, str]:
    return {LABEL_HOME: "h", LABEL_PROJECT: project, LABEL_FOLDER: folder}


OWNER = Owner("new", "run", labels("new", "/srv/shop"))
OLD = Known("old", "shop", False, Path("/srv/gone"), Path("/srv/gone"), there=False)


def known(identity: str) -> Known | None:
    return OLD if identity == "old" else None


def test_data_of_a_service_that_is_no_longer_there_is_told() -> None:
    there = {"fnctl-h-new-data": labels("new", "/srv/shop"), "fnctl-h-new-store": labels("new", "/srv/shop")}
    (said,) = left_behind(OWNER, ["data"], there, known)
    assert "fnctl-h-new-store holds the data of a service store" in said
    assert "fnctl prune --volumes" in said


def test_data_of_the_project_that_this_was_is_told_with_how_to_use_it() -> None:
    there = {"fnctl-h-old-data": labels("old", "/srv/gone")}
    (said,) = left_behind(OWNER, ["data"], there, known)
    assert "of the service data of the project at /srv/gone, and is not used; `name: shop` in fnctl.yaml" in said


def test_nothing_is_said_of_others_or_where_there_is_data_already() -> None:
    there = {"fnctl-h-other-data": labels("other", str(Path.cwd()))}
    assert left_behind(OWNER, ["data"], there, known) == []
    used = {"fnctl-h-old-data": labels("old", "/srv/gone"), "fnctl-h-new-data": labels("new", "/srv/shop")}
    assert left_behind(OWNER, ["data"], used, known) == []
    assert left_behind(OWNER, ["store"], {"fnctl-h-old-data": labels("old", "/srv/gone")}, known) == []
