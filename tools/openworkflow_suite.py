"""The Open Workflow Specification's conformance kit and examples, run by fnctl's engine in a world of stand-ins.

Everything of the language is the product's; what is outside of a workflow (addresses, containers, functions, time) is
answered here, so that the suite needs neither an engine nor a network.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fnctl.openworkflow.checks import check
from fnctl.openworkflow.definition import Definition, Identity, parse
from fnctl.openworkflow.history import History
from fnctl.openworkflow.reading import read
from fnctl.openworkflow.run import Run
from fnctl.openworkflow.world import Awaited, HttpRequest, HttpResponse, Process, ProcessResult
from tests.support.workflow_world import FakeWorld, MemoryLog

Case = tuple[str, Callable[[], str | None]]
PET = {"id": 1, "name": "Milou", "status": "available"}


# -- stand-ins ---------------------------------------------------------------------------------------------------------


def answers(request: HttpRequest) -> HttpResponse:
    """What the addresses in the suite's documents would answer."""
    host, _, path = request.url.partition("://")[2].partition("/")
    path = "/" + path.partition("?")[0]
    if host == "petstore.swagger.io":
        return _petstore(request, path)
    if host == "httpbin.org":
        word = "Basic c2VydmVybGVzcy13b3JrZmxvdzpjb25mb3JtYW5jZS10ZXN0"
        return _json({"authenticated": True}) if request.headers.get("authorization") == word else _json({}, 401)
    if path.endswith("/.well-known/openid-configuration"):
        return _json({"token_endpoint": f"http://{host}/token"})
    if path.endswith("/token"):
        return _json({"access_token": "a-token"})
    if path.endswith("asyncapi.json"):
        return _json(ASYNCAPI)
    if path.endswith("ordersservices.json"):
        paths = {f"/{name}": {"post": {"operationId": name}} for name in ("logreading", "produceReport")}
        return _json({"openapi": "3.0.0", "servers": [{"url": "http://myorg.io/api"}], "paths": paths})
    if path.endswith("function.yaml"):
        return HttpResponse(200, {"content-type": "text/yaml"}, b"set:\n  logged: ${ .message }\n")
    if host == "swapi.dev" and path.startswith("/api/people/"):
        return _json({"name": "Luke", "homeworld": "https://swapi.dev/api/planets/1/"})
    return _json({"ok": True})


ASYNCAPI = {
    "asyncapi": "3.0.0",
    "servers": {"staging": {"host": "fake.com", "protocol": "https"}},
    "channels": {"pets": {"address": "/pets"}},
    "operations": {"findPetsByStatus": {"action": "send", "channel": {"$ref": "#/channels/pets"}}},
}


def _petstore(request: HttpRequest, path: str) -> HttpResponse:
    if path == "/v2/swagger.json":
        status = {"name": "status", "in": "query", "required": True}
        paths = {
            "/pet/findByStatus": {"get": {"operationId": "findPetsByStatus", "parameters": [status]}},
            "/pet/{petId}": {
                "get": {
                    "operationId": "getPetById",
                    "parameters": [{"name": "petId", "in": "path", "required": True}],
                }
            },
        }
        return _json(
            {"swagger": "2.0", "host": "petstore.swagger.io", "basePath": "/v2", "schemes": ["https"], "paths": paths}
        )
    if path == "/v2/pet/findByStatus":
        return _json([PET, {**PET, "id": 2}]) if "status=available" in request.url else _json([])
    found = re.fullmatch(r"/v2/pet/(\d*)", path)
    return _json({**PET, "id": int(found[1] or 1)}) if found else _json({"message": "not found"}, 404)


def _json(said: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, json.dumps(said).encode())


def processes(process: Process) -> ProcessResult:
    if process.kind == "container" and process.what == "hello-world":
        return ProcessResult(0, "Hello from Docker!\n", "")
    said = f"STDIN was: {process.stdin}\nARGS are {' '.join(process.arguments)}\n"
    return ProcessResult(0, said, "")


# -- running -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """`order`: names of tasks as they began."""

    state: str
    output: Any = None
    error: Mapping[str, Any] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    world: FakeWorld = field(default_factory=FakeWorld)


def run(
    definition: Definition,
    input: Any,
    events: tuple[Mapping[str, Any], ...] = (),
    secrets: Mapping[str, Any] | None = None,
    until: Callable[[FakeWorld], bool] = lambda world: False,
) -> Outcome:
    return asyncio.run(_run(definition, input, events, secrets or {}, until))


async def _run(
    definition: Definition,
    input: Any,
    events: tuple[Mapping[str, Any], ...],
    secrets: Mapping[str, Any],
    until: Callable[[FakeWorld], bool],
) -> Outcome:
    def child(identity: Identity, given: Any, waits: Awaited | None) -> None:
        if waits is not None:
            waits.wake({"registered": given})

    world = FakeWorld({}, answers, processes, secrets, children=child)
    log = MemoryLog([{"type": "started", "at": world.clock.now(), "input": input}])
    made = Run("run", definition, world, log, History(log.entries))
    whole = asyncio.ensure_future(made.execute())

    async def rest() -> None:
        while not (made.strands.idle or whole.done()):  # noqa: ASYNC110
            await asyncio.sleep(0)

    world.clock.settled = [rest]
    for event in events:
        await rest()
        await made.deliver(event)
    await rest()
    if not until(world):
        await world.clock.advance(86_400)
    order = [entry["ref"].rpartition("/")[2] for entry in log.entries if entry["type"] == "begun"]
    if not whole.done():
        whole.cancel()
        await asyncio.gather(whole, return_exceptions=True)
        return Outcome("waits", order=order, world=world)
    end = whole.result()
    return Outcome(end["state"], end.get("output"), end.get("error", {}), order, world)


# -- the kit -----------------------------------------------------------------------------------------------------------


def kit(folder: Path) -> Iterator[Case]:
    for file in sorted(folder.glob("*.feature")):
        for name, steps in _scenarios(file.read_text()):
            yield f"{file.stem}: {name}", lambda steps=steps: _played(steps)  # type: ignore[misc]


def _scenarios(text: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each scenario's steps, with what is quoted below them."""
    for part in re.split(r"^\s*Scenario:", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        yield title.strip(), list(_lines(body))


def _lines(body: str) -> Iterator[tuple[str, str]]:
    lines = body.splitlines()
    index = 0
    while index < len(lines):
        words = re.sub(r"^\s*(Given|When|Then|And given|And)\s", "", lines[index]).strip()
        is_step = re.match(r"\s*(Given|When|Then|And)\s", lines[index]) is not None
        index += 1
        quoted = []
        if index < len(lines) and lines[index].strip().startswith('"""'):
            index += 1
            while lines[index].strip() != '"""':
                quoted.append(lines[index])
                index += 1
            index += 1
        if is_step:
            yield words, "\n".join(quoted)


def _played(steps: list[tuple[str, str]]) -> str | None:
    definition, given, outcome = None, None, None
    for words, quoted in steps:
        if words.startswith("a workflow with definition"):
            source, definition = parse(quoted, "scenario")
            if definition is None:
                return f"refused: {source.troubles[0]}"
            check(source, definition)
            if source.troubles:
                return f"refused: {source.troubles[0]}"
        elif "workflow input is" in words:
            given = read(quoted, "input").data
        elif words.startswith("the workflow is executed"):
            assert definition is not None
            outcome = run(definition, given)
        else:
            assert outcome is not None
            wrong = _wrong(words, quoted, outcome)
            if wrong is not None:
                return f"{words}: {wrong}"
    return None


def _wrong(words: str, quoted: str, outcome: Outcome) -> str | None:
    wanted = read(quoted, "wanted").data if quoted else None
    ended = f"{outcome.state} {json.dumps(outcome.error or outcome.output)[:300]}"
    if words.startswith("the workflow should complete"):
        fits = outcome.state == "completed" and (not quoted or outcome.output == wanted)
        return None if fits else ended
    if words.startswith("the workflow should fault"):
        fits = outcome.state == "faulted" and (not quoted or outcome.error == wanted)
        return None if fits else ended
    if (found := re.fullmatch(r"the workflow output should have properties (.*)", words)) is not None:
        missing = [name for name in re.findall(r"'([^']+)'", found[1]) if _at(outcome.output, name) is None]
        return f"without {missing}: {ended}" if missing else None
    if (found := re.fullmatch(r"the workflow output should have a '([^']+)' property with value:", words)) is not None:
        return None if _at(outcome.output, found[1]) == wanted else ended
    found = re.fullmatch(r"the workflow output should have a '([^']+)' property containing (\d+) items", words)
    if found is not None:
        return None if len(_at(outcome.output, found[1]) or ()) == int(found[2]) else ended
    found = re.fullmatch(r"(\w+) should run (first|last|after (\w+))", words)
    if found is not None:
        order = outcome.order
        place = {"first": 0, "last": len(order) - 1}.get(found[2])
        place = order.index(found[3]) + 1 if place is None else place
        return None if order[place] == found[1] else f"in the order {order}"
    return "is not a step that is known here"


def _at(value: Any, path: str) -> Any:
    for word in path.split("."):
        value = value.get(word) if isinstance(value, Mapping) else None
    return value


# -- the examples ------------------------------------------------------------------------------------------------------


def validated(folder: Path) -> Iterator[Case]:
    for file in sorted(folder.glob("*.yaml")):
        yield file.stem, lambda file=file: _valid(file)  # type: ignore[misc]


def _valid(file: Path) -> str | None:
    source, definition = parse(file.read_text(), file.name)
    return None if definition is not None else str(source.troubles[0])


def refused(folder: Path) -> Iterator[Case]:
    for file in sorted(folder.glob("*.yaml")):
        yield file.stem, lambda file=file: None if _valid(file) else "was taken"  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Given:
    """What an example is run with, and how it has to end. `after`: `waits` is right once this many acts were done."""

    input: Any = None
    state: str = "completed"
    events: tuple[Mapping[str, Any], ...] = ()
    secrets: Mapping[str, Any] = field(default_factory=dict)
    output: Any = ...
    acts: int | None = None
    error: str | None = None


def _event(type: str, data: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{type}-{data}",
        "source": "https://example.com",
        "type": type,
        "data": data,
        **more,
    }


_OAUTH = {"authority": "http://keycloak/realms/a", "grant": "client_credentials", "client": {"id": "a", "secret": "b"}}
_VITALS = (
    _event("com.fake-hospital.vitals.measurements.temperature", {"temperature": 39}),
    _event("com.fake-hospital.vitals.measurements.bpm", {"bpm": 120}),
)
_LOW = _event("com.example.hospital.events.patients.heartbeat.low", {
    "patient": {"id": 1, "name": "A", "room": {"number": 2}, "vitals": {"bpm": 30}}, "timestamp": "2026-01-01T00:00:00Z"
})  # fmt: skip
_CHECKUP = _event("com.fake.petclinic.pets.checkup.completed.v2")
_SOME = tuple(_event(f"any.{number}", number) for number in range(4))
_BOTH = [event["data"] for event in _VITALS]
GIVEN: Mapping[str, Given] = {
    "authentication-oauth2-secret": Given({"petId": 1}, secrets={"mySecret": _OAUTH}),
    "authentication-oidc-secret": Given({"petId": 1}, secrets={"mySecret": _OAUTH}),
    "call-asyncapi-publish": Given({"pet": {"id": 1}, "token": "t"}, acts=2),
    "call-custom-function-cataloged": Given(output={"logged": "Hello, world!"}),
    "call-http-query-headers-expressions": Given({"searchQuery": "luke"}),
    "call-http-query-parameters": Given({"searchQuery": "luke"}),
    "call-http-redirect": Given({"searchQuery": "luke"}),
    "conditional-task": Given({"customer": {"age": 20}}, acts=1),
    "for": Given({"pets": [{"id": 1}], "vet": "v"}, "faulted", (_CHECKUP,), error="expression"),
    "fork": Given({"patient": {"fullName": "A"}, "room": {"number": 1}}),
    "listen-to-all": Given(events=_VITALS, output=_BOTH),
    "listen-to-all read-envelope": Given(events=_VITALS, output=list(_VITALS)),
    "listen-to-any": Given(events=_SOME[:1], output=[0]),
    "listen-to-any-filter": Given(events=(_SOME[0], _VITALS[1]), output=[_VITALS[1]["data"]]),
    "listen-to-any-forever-foreach": Given({"roomId": 7}, "waits", _SOME[:3], acts=3),
    "listen-to-any-until-condition": Given(events=_SOME, output=[0, 1, 2, 3]),
    "listen-to-any-until-consumed": Given(
        events=(*_VITALS, _event("com.fake-hospital.patient.checked-out")), output=_BOTH
    ),
    "listen-to-one": Given(events=(_event("com.virtual-wf-powered-race.events.race.started.v1"),), acts=1),
    "accumulate-room-readings": Given(
        events=tuple(
            _event(f"my.home.sensors.{what}", {"reading": 1}, roomid=1) | {"source": "https://my.home.com/sensor"}
            for what in ("temperature", "humidity")
        ),
        state="faulted",
        error="expression",
    ),
    "raise-inline": Given(state="faulted", error="not-implemented"),
    "raise-reusable": Given(state="faulted", error="not-implemented"),
    "schedule-event-driven": Given([_LOW], acts=1),
    "set": Given([_event("io.x")], output={"startEvent": _event("io.x")}),
    "set-expression": Given([_event("io.x")], output=_event("io.x")),
    "star-wars-homeworld": Given({"id": 1}, acts=2),
    "switch-then-string": Given({"orderType": "electronic"}, output={"validate": True, "status": "fulfilled"}),
    "run-subflow": Given({}, output={"registered": {"customer": ".user"}}),
}  # fmt: skip
_NOT_HTTP = "subscriptions of AsyncAPI are not supported"
NOT_RUN = {
    "call-grpc": "`call: grpc` is refused by name",
    "call-mcp": "`call: mcp` is refused by name",
    "call-asyncapi-subscribe-consume-amount": _NOT_HTTP,
    "call-asyncapi-subscribe-consume-forever-foreach": _NOT_HTTP,
    "call-asyncapi-subscribe-consume-until": _NOT_HTTP,
    "call-asyncapi-subscribe-consume-while": _NOT_HTTP,
}


def played(folder: Path) -> Iterator[Case]:
    for file in sorted(folder.glob("*.yaml")):
        if file.stem not in NOT_RUN:
            yield file.stem, lambda file=file: _example(file)  # type: ignore[misc]


def _example(file: Path) -> str | None:
    source, definition = parse(file.read_text(), file.name)
    if definition is None:
        return f"refused: {source.troubles[0]}"
    given = GIVEN.get(file.stem, Given({"petId": 1, "token": "t"}))
    outcome = run(definition, given.input, given.events, given.secrets)
    said = f"{outcome.state} {json.dumps(outcome.error or outcome.output)[:300]}"
    if outcome.state != given.state or (given.error and not str(outcome.error.get("type")).endswith(given.error)):
        return said
    if given.output is not ... and outcome.output != given.output:
        return said
    if given.acts is not None and len({step.key for step in outcome.world.acts}) != given.acts:
        return f"{len(outcome.world.acts)} acts: {said}"
    return None
