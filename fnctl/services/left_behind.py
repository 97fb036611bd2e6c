"""Volumes with data that a project does not use: of a service that it no longer has, or of the project that it was
under another name or in another folder. They are told, and nothing is done about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fnctl import projects
from fnctl.engine.port import LABEL_FOLDER, LABEL_PROJECT
from fnctl.projects import Known
from fnctl.services.plan import Owner, volume_name


def left_behind(
    owner: Owner,
    services: Sequence[str],
    there: Mapping[str, Mapping[str, str]],
    known: Callable[[str], Known | None] = projects.of,
) -> list[str]:
    """A sentence for each. `there`: this home's volumes before the run made any; `known`: of this home's projects."""
    used = {volume_name(owner, service) for service in services}
    fresh = [service for service in services if volume_name(owner, service) not in there]
    return [*_of_no_service(owner, used, there), *_of_before(owner, fresh, there, known)]


def _of_no_service(owner: Owner, used: Iterable[str], there: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for name, labels in sorted(there.items()):
        if labels.get(LABEL_PROJECT) == owner.project and name not in used and name.startswith(volume_name(owner, "")):
            service = name.removeprefix(volume_name(owner, ""))
            yield (
                f"volume {name} holds the data of a service {service}, which this project no longer has;"
                " `fnctl prune --volumes` removes it when nothing runs"
            )


def _of_before(
    owner: Owner,
    fresh: Sequence[str],
    there: Mapping[str, Mapping[str, str]],
    known: Callable[[str], Known | None],
) -> Iterator[str]:
    """Of services that begin with an empty volume now: where a project of this very folder, or of one that is gone, had
    a service of the same name."""
    for name, labels in sorted(there.items()):
        project, folder = labels.get(LABEL_PROJECT, ""), labels.get(LABEL_FOLDER, "")
        service = next((each for each in fresh if name.endswith(f"-{project}-{each}")), None)
        if service is None or project == owner.project:
            continue
        one = known(project)
        gone = not one.there if one is not None else not Path(folder).is_dir()
        if folder == owner.labels.get(LABEL_FOLDER) or gone:
            how = f"; `name: {one.name}` in fnctl.yaml uses it again" if one is not None else ""
            yield f"volume {name} holds data of the service {service} of the project at {folder}, and is not used{how}"
