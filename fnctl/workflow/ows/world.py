"""The world of a project's workflows (openworkflow/world.py): functions, bus, addresses, sandboxes, one another."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

from fnctl.clock import Clock
from fnctl.errors import ConfigError
from fnctl.model import INSIDE, Secret
from fnctl.openworkflow.definition import Identity
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.world import Awaited, HttpRequest, HttpResponse, Process, ProcessResult, Step
from fnctl.sandbox import secrets as held
from fnctl.workflow.ows.addresses import Addresses
from fnctl.workflow.ows.calls import Calls
from fnctl.workflow.ows.sandboxes import Sandboxes

Publish = Callable[[Mapping[str, Any]], Awaitable[object]]
Begin = Callable[[Step, Identity, Any, Awaited | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Platform:
    """A `World`. `secret_of`: where a secret of the project is kept."""

    clock: Clock
    calls: Calls
    addresses: Addresses
    sandboxes: Sandboxes | None
    secret_of: Callable[[str], Secret | None]
    tell_bus: Publish
    begin: Begin
    drawn: Random

    def random(self) -> float:
        return self.drawn.random()

    def new_id(self) -> str:
        return secrets.token_hex(8)

    def secret(self, name: str) -> Any:
        """JSON where it is an object, else its text."""
        found = self.secret_of(name)
        if found is None:
            raise standard("authorization", f"the project has no secret `{name}`")
        try:
            text = held.value(found, os.environ).decode("utf-8", "replace").rstrip("\n")
        except ConfigError as error:
            raise standard("authorization", error.message) from None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, dict) else text

    async def function(self, step: Step, name: str, arguments: Any) -> Any:
        return await self.calls.function(step, name, arguments)

    async def http(self, step: Step, request: HttpRequest) -> HttpResponse:
        """`http://NAME.fnctl.internal/…` is a function of the project."""
        parts = urlsplit(request.url)
        host = (parts.hostname or "").lower()
        if not host.endswith(f".{INSIDE}"):
            return await self.addresses.request(request)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        inside = HttpRequest(request.method, target, request.headers, request.body)
        return await self.calls.request(step, host.removesuffix(f".{INSIDE}"), inside)

    async def process(self, step: Step, process: Process, awaited: bool) -> ProcessResult | None:
        if self.sandboxes is None:
            raise standard("runtime", "no process can be run here")
        return await self.sandboxes.run(step, process, awaited)

    async def publish(self, step: Step, event: Mapping[str, Any]) -> None:
        await self.tell_bus(event)

    async def child(self, step: Step, identity: Identity, input: Any, waits: Awaited | None) -> None:
        await self.begin(step, identity, input, waits)
