"""Documents that a definition names by their address. What was found holds for the run: it is in its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.frame import Frame, Place
from fnctl.openworkflow.kinds import authentication
from fnctl.openworkflow.reading import read
from fnctl.openworkflow.world import HttpRequest, Step

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run


async def document(
    run: Run,
    place: Place,
    resource: Mapping[str, Any],
    frame: Frame | None = None,
    select: Callable[[Any], Any] = lambda found: found,
) -> Any:
    """JSON or YAML. `select`: the part of it that is kept."""
    key = f"{place.key}/document"
    if key in run.history.decided:
        return run.history.decided[key]
    uri, body = await _fetched(run, key, resource, frame or Frame(place, "", {}, None, None))
    source = read(body, uri)
    if source.data is None:
        said = str(source.troubles[0]) if source.troubles else "nothing"
        raise standard("communication", f"what {uri} gives cannot be read: {said}")
    kept = select(source.data)
    return run.decided(key, lambda: kept)


async def text(run: Run, place: Place, resource: Mapping[str, Any], frame: Frame) -> str:
    """As it is."""
    key = f"{place.key}/text"
    if key not in run.history.decided:
        _, body = await _fetched(run, key, resource, frame)
        run.decided(key, lambda: body)
    return str(run.history.decided[key])


async def _fetched(run: Run, key: str, resource: Mapping[str, Any], frame: Frame) -> tuple[str, str]:
    """The address, and what is there. Raises Fault."""
    from fnctl.openworkflow.kinds import http

    uri, policy = http.endpoint(run, frame, resource["endpoint"])
    request = HttpRequest("GET", uri, {"accept": "application/json, application/yaml;q=0.9, */*;q=0.5"})
    response = await authentication.send(run.world, Step(run.id, key, 1), request, policy)
    if response.status != 200:
        raise standard("communication", f"GET {uri} answered {response.status}", status=response.status)
    return uri, response.body.decode("utf-8", "replace")
