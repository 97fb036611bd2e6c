"""What stands in for functions, addresses and processes in a test, and the world that a workflow sees them in."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fnctl.clock import VirtualClock
from fnctl.openworkflow.definition import Identity
from fnctl.openworkflow.fault import Fault, standard
from fnctl.openworkflow.world import Awaited, HttpRequest, HttpResponse, Process, ProcessResult, Step


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is none: the status, and what is said with it."""

    status: int
    body: str = ""


class Mock:
    """Answers in place of something, and keeps what it was asked.

    An answer is a value, a `Failure`, or a callable that gets what is asked and gives one of these. Of several, each is
    given once, and the last for ever.
    """

    def __init__(self, what: str, answers: tuple[Any, ...]) -> None:
        self.what = what
        self.calls: list[Any] = []
        self._answers = answers or (None,)

    def answer(self, asked: Any) -> Any:
        found = self._answers[min(len(self.calls), len(self._answers) - 1)]
        self.calls.append(asked)
        return found(asked) if callable(found) else found


@dataclass(slots=True)
class MockWorld:
    """A `World` (openworkflow/world.py). `wrong`: what the test itself did wrong, to be raised in it."""

    clock: VirtualClock
    begin: Callable[[Step, Identity, Any, Awaited | None], Awaitable[None]]
    deliver: Callable[[Mapping[str, Any]], Awaitable[object]]
    functions: dict[str, Mock] = field(default_factory=dict)
    addresses: dict[str, Mock] = field(default_factory=dict)
    processes: Mock | None = None
    secrets: dict[str, Any] = field(default_factory=dict)
    published: list[Mapping[str, Any]] = field(default_factory=list)
    wrong: list[BaseException] = field(default_factory=list)

    def random(self) -> float:
        return 0.5

    def new_id(self) -> str:
        return f"event-{len(self.published) + 1}"

    def secret(self, name: str) -> Any:
        if name not in self.secrets:
            raise self._missing(f"the secret `{name}`", f'secret("{name}", …)')
        return self.secrets[name]

    async def function(self, step: Step, name: str, arguments: Any) -> Any:
        mock = self.functions.get(name)
        if mock is None:
            raise self._missing(f"the function `{name}`", f'mock("{name}", …)')
        given = self._asked(mock, arguments)
        if isinstance(given, Failure):
            said = f": {given.body}" if given.body else ""
            detail = f"the function {name} answered {given.status}{said}"
            raise standard("communication", detail, status=given.status)
        return given

    async def http(self, step: Step, request: HttpRequest) -> HttpResponse:
        fitting = [prefix for prefix in self.addresses if request.url.startswith(prefix)]
        if not fitting:
            raise self._missing(f"{request.url}", f'mock_http("{request.url}", …)')
        given = self._asked(self.addresses[max(fitting, key=len)], request)
        if isinstance(given, Failure):
            return HttpResponse(given.status, {"content-type": "text/plain"}, given.body.encode())
        return HttpResponse(200, {"content-type": "application/json"}, json.dumps(given).encode())

    async def process(self, step: Step, process: Process, awaited: bool) -> ProcessResult | None:
        if self.processes is None:
            raise self._missing(f"the {process.kind} of {step.key}", "mock_process(…)")
        given = self._asked(self.processes, process)
        if not awaited:
            return None
        if isinstance(given, Failure):
            return ProcessResult(given.status, "", given.body)
        return ProcessResult(0, given if isinstance(given, str) else json.dumps(given), "")

    async def publish(self, step: Step, event: Mapping[str, Any]) -> None:
        self.published.append(event)
        await self.deliver(event)

    async def child(self, step: Step, identity: Identity, input: Any, waits: Awaited | None) -> None:
        await self.begin(step, identity, input, waits)

    def _asked(self, mock: Mock, asked: Any) -> Any:
        try:
            given = mock.answer(asked)
            return given if isinstance(given, Failure) else json.loads(json.dumps(given))
        except Fault:
            raise
        except Exception as error:
            error.add_note(f"in the mock of {mock.what}")
            self.wrong.append(error)
            raise standard("runtime", f"the mock of {mock.what} raised {error!r}") from None

    def _missing(self, what: str, how: str) -> Fault:
        self.wrong.append(AssertionError(f"the workflow needs {what}, and the test has no stand-in: {how}"))
        return standard("configuration", f"the test has no stand-in for {what}")
