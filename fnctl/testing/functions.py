"""A project's functions in a test: called, begun, mocked by name, told events; in sandboxes, with a virtual clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fnctl.config.units import duration_s
from fnctl.control import client
from fnctl.errors import UsageError
from fnctl.testing.mocks import Failure
from fnctl.testing.serving import Serving

WAIT_S = 120.0  # for one answer of the service: a call may build nothing, but wait for an instance
ASYNC = {"Prefer": "respond-async"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Begun:
    """An execution of a durable function, or a run of a workflow, as it stands when it is asked."""

    def __init__(self, functions: Functions, id: str) -> None:
        self.id = id
        self._functions = functions

    @property
    def _shown(self) -> dict[str, Any]:
        return self._functions.admin("GET", f"/v1/runs/{self.id}")

    @property
    def state(self) -> str:
        return str(self._shown["state"])

    @property
    def output(self) -> Any:
        """Raises AssertionError where it has not ended well, with its error or with what it waits for."""
        shown = self._shown
        if shown["state"] not in ("succeeded", "completed"):
            what = shown.get("error") or [
                f"{step['name']}: {step['state']}" for step in shown["steps"] if not step.get("ended")
            ]
            raise AssertionError(f"it is {shown['state']}, and has no output: {what}")
        found = shown.get("output")
        return json.loads(found) if shown["state"] == "succeeded" and isinstance(found, str) else found

    @property
    def error(self) -> Any:
        return self._shown.get("error")

    @property
    def steps(self) -> list[dict[str, Any]]:
        """In the order of their beginning: `name`, `kind`, `state`, `attempts`, `began`, `ended`."""
        return list(self._shown["steps"])

    def cancel(self) -> None:
        self._functions.admin("POST", f"/v1/runs/{self.id}/cancel")


class StandIn:
    """In place of a function. `calls`: what it was asked, as JSON or text, in order."""

    def __init__(self, functions: Functions, name: str, answers: tuple[Any, ...]) -> None:
        self.name = name
        self._functions = functions
        self._said: bytes | None = json.dumps([_said(name, each) for each in answers or (None,)]).encode()

    @property
    def calls(self) -> list[Any]:
        return list(self._functions.call(self.name, "GET", "/.stand-in", {}, None).json)

    def tell(self) -> None:
        """Once it is served: what to answer."""
        if self._said is not None:
            said, self._said = self._said, None
            self._functions.call(self.name, "PUT", "/.stand-in", {"Content-Type": "application/json"}, said)


class Functions:
    """Each method returns when nothing is left to do at this moment. `reset` between two tests."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._known = {each.name: each for each in serving.project.functions}
        self._workflows = {each.name for each in serving.project.workflows}
        self._mocks: dict[str, StandIn] = {}

    def mock(self, function: str, *answers: Any) -> StandIn:
        """In place of a function of the project. An answer is a value (as JSON) or a `Failure`; of several, each is
        given once, and the last for ever."""
        self._must_be(function, self._known)
        mock = self._mocks[function] = StandIn(self, function, answers)
        return mock

    def invoke(
        self,
        function: str,
        data: Any = None,
        *,
        path: str = "/",
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call it as over HTTP: GET, or POST with `data`, which is sent as JSON where it is no text and no bytes."""
        self._must_be(function, self._known)
        if self._known[function].durable is not None and function not in self._mocks:
            raise UsageError(f"{function} is durable: time stands still while it waits", hint=f'start("{function}", …)')
        body, kind = _body(data)
        self._ready()
        answer = self.call(
            function, method or ("GET" if body is None else "POST"), path, kind | dict(headers or {}), body
        )
        self.advance(0)
        return answer

    def start(self, name: str, input: Any = None) -> Begun:
        """Begin an execution of a durable function, or a run of a workflow, and let it go on until it waits."""
        self._must_be(name, [each for each in (*self._known, *self._workflows) if self._starts(each)])
        self._ready()
        target = f"/_fnctl/workflows/{name}" if name in self._workflows else f"/{name}/"
        body = json.dumps({} if input is None else input).encode()
        answer = self._sent("POST", target, {**ASYNC, "Content-Type": "application/json"}, body)
        if answer.status != 202:
            raise UsageError(f"{name} was not started: {answer.status} {answer.text}")
        self.advance(0)
        return Begun(self, answer.json["id"])

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.admin("GET", "/v1/clock")["now"], UTC)

    def advance(self, by: str | float) -> None:
        """Move the clock on: "90s", "12h", "30d", or seconds. What is due on the way is done at its own time."""
        try:
            seconds = float(by) if isinstance(by, int | float) else duration_s(by)
        except ValueError as error:
            raise UsageError(str(error)) from error
        self._ready()
        self._serving.advance(seconds)

    def publish(self, type: str, data: Any = None, *, source: str = "/test", **more: Any) -> Mapping[str, Any]:
        """A CloudEvent on the project's bus; returns it."""
        self._ready()
        event = {
            "specversion": "1.0",
            "id": f"test-{len(self.published) + 1}-{id(self)}",
            "source": source,
            "type": type,
        }
        event |= {"time": self.now.isoformat(), **({} if data is None else {"data": data}), **more}
        body = json.dumps(event).encode()
        answer = self._sent("POST", "/_fnctl/events", {"Content-Type": "application/cloudevents+json"}, body)
        if answer.status != 202:
            raise UsageError(f"the event was not published: {answer.status} {answer.text}")
        self.advance(0)
        return event

    @property
    def published(self) -> list[Mapping[str, Any]]:
        """All events of this test, its own and those of functions and workflows."""
        return self._serving.events

    def messages(self, queue: str, state: str = "waiting") -> list[dict[str, Any]]:
        """What is in a named queue, or waits to be made as a call of a function; the oldest first."""
        return list(self.admin("GET", f"/v1/queues/{queue}?state={state}&limit=1000")["calls"])

    def reset(self) -> None:
        """End what is open, and forget what waits, was published, and was mocked. The clock stays where it is."""
        for run in self.admin("GET", "/v1/runs")["runs"]:
            if run["ended"] is None:
                self.admin("POST", f"/v1/runs/{run['id']}/cancel")
        for row in self.admin("GET", "/v1/queues")["queues"]:
            name = f"queue/{row['name']}" if row["kind"] == "queue" else row["name"]
            self.admin("POST", f"/v1/queues/{name}/purge?state=waiting")
        self._mocks.clear()
        self._serving.events.clear()

    # -- what the objects above ask ----------------------------------------------------------------------------------

    def admin(self, method: str, target: str) -> dict[str, Any]:
        return client.admin(self._serving.paths.admin_socket, method, target, WAIT_S)

    def call(self, function: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request to a function, whatever its triggers."""
        self._ready()
        return self._sent(method, f"/{function}{path}", headers, body)

    def _sent(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        socket = self._serving.paths.gateway_socket
        with client.send(socket, method, target, headers=headers, body=body, timeout_s=WAIT_S) as response:
            return Answer(response.status, response.headers, b"".join(response.chunks()))

    def _ready(self) -> None:
        """The stand-ins are those that the test asked for."""
        if self._serving.mocked != self._mocks.keys():
            self._serving.mocked = frozenset(self._mocks)
            self._serving.reload()
        for mock in self._mocks.values():
            mock.tell()

    def _starts(self, name: str) -> bool:
        return name in self._workflows or self._known[name].durable is not None

    @staticmethod
    def _must_be(name: str, known: Any) -> None:
        if name not in known:
            raise UsageError(f"the project has no `{name}` for this", hint=f"there are: {', '.join(sorted(known))}")


def _said(name: str, answer: Any) -> dict[str, Any]:
    if isinstance(answer, Failure):
        return {"status": answer.status, "body": answer.body}
    if callable(answer):
        raise UsageError(
            f"the mock of {name} is in a sandbox: its answers are values", hint="give values or Failure(…)"
        )
    return {"value": answer}


def _body(data: Any) -> tuple[bytes | None, dict[str, str]]:
    if data is None or isinstance(data, bytes):
        return data, {}
    if isinstance(data, str):
        return data.encode(), {"Content-Type": "text/plain; charset=utf-8"}
    return json.dumps(data).encode(), {"Content-Type": "application/json"}
