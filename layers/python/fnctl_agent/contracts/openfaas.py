"""OpenFaaS: `handle(event, context)` of the python3-http template, and the classic `handle(req)`, by arity.

Sources: github.com/openfaas/python-flask-template (README, "Event and Context Data", "Response Bodies", and
template/python3-http/index.py for what is not written there); docs.openfaas.com/languages/python. The templates import
the code as the package `function`, so that it may import its own files relatively or from `function`; plain imports
work here too. A classic function answers by what it returns: what it prints is its log.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fnctl_agent.contracts.binding import Call, Contract, Load, Resolve, arity, expect
from fnctl_agent.contracts.bodies import (
    BYTES,
    HTML,
    JSON,
    TEXT,
    Result,
    encoded,
    finished,
    header_pairs,
    json_text,
    sendable,
    status_of,
)
from fnctl_agent.interface import Found, Kind

PACKAGE = "function"


class Headers(dict[str, str]):
    """By name in any case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class Query(dict[str, str]):
    """The first value of each name, and all of them by `getlist`."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(reversed(pairs))
        self._pairs = pairs

    def getlist(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


@dataclass(frozen=True, slots=True)
class Event:
    body: bytes
    headers: Headers
    method: str
    query: Query
    path: str


@dataclass(frozen=True, slots=True)
class Context:
    hostname: str = field(default_factory=socket.gethostname)


class OpenFaas(Contract):
    def find(self, load: Load, resolve: Resolve) -> Found:
        module, _, attr = load["handler"].replace("/", ".").rpartition(".")
        file = Path(load["root"], *module.split(".")).with_suffix(".py")
        name = load["handler"]
        if file.is_file():
            package = types.ModuleType(PACKAGE)
            package.__path__ = [str(file.parent)]
            sys.modules[PACKAGE] = package
            name = f"{PACKAGE}.{file.stem}.{attr}"
        return self.adopt(resolve(name), load["handler"], load)

    def adopt(self, target: Any, name: str, load: Load) -> Found:
        if callable(target) and arity(target, 2) == 1:
            return Found(Kind.EVENT, Classic(target), ClassicBinding())
        expect(target, name, "openfaas", "event", "context")
        return Found(Kind.EVENT, target, HttpBinding())


class Classic:
    """A classic function, one call at a time: each has the environment to itself, since the platform starts a process
    for each."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._turn = threading.Lock()

    def __call__(self, request: str | bytes, variables: Mapping[str, str]) -> Any:
        with self._turn:
            os.environ.update(variables)
            try:
                return self._target(request)
            finally:
                for name in variables:
                    os.environ.pop(name, None)


class ClassicBinding:
    """Text in, text out. The rest of the request is in the environment, as the classic watchdog puts it there
    (github.com/openfaas/classic-watchdog, "CGI headers")."""

    def arguments(self, call: Call) -> tuple[Any, ...]:
        variables = {
            **{f"Http_{name.title().replace('-', '_')}": value for name, value in call.headers().items()},
            "Http_Method": call.method,
            "Http_ContentLength": str(len(call.body)),
            "Http_Content_Length": str(len(call.body)),
            "Http_Path": call.path,
            "Http_Host": call.header("host"),
            **({"Http_Query": call.query} if call.query else {}),
        }
        try:
            return call.body.decode("utf-8"), variables
        except UnicodeDecodeError:
            return call.body, variables

    def response(self, result: Any, call: Call) -> Result:
        if result is None:
            return 200, [("content-type", TEXT)], b""
        return finished(200, [], *encoded(result))


class HttpBinding:
    """Results as the template hands them to Flask."""

    def arguments(self, call: Call) -> tuple[Any, ...]:
        path = unquote(call.path)
        return Event(call.body, Headers(call.headers()), call.method, Query(call.pairs), path), Context()

    def response(self, result: Any, call: Call) -> Result:
        if isinstance(result, Mapping):
            return _structured(result)
        if isinstance(result, tuple) and 1 < len(result) <= 3:
            return _of_tuple(*result)
        return finished(200, [], *_plain("" if result is None else result))


CONTRACT = OpenFaas()


def _structured(result: Mapping[str, Any]) -> Result:
    if not result.keys() & {"statusCode", "headers", "body"}:
        sys.stderr.write("the result has no statusCode, headers or body: as on OpenFaaS, the response is empty\n")
    headers = _header_list(result.get("headers") or {})
    return finished(status_of(result.get("statusCode", 200)), headers, *_plain(result.get("body", "")))


def _of_tuple(body: Any, status: Any = 200, headers: Any = ()) -> Result:
    """(body, status), (body, headers) or (body, status, headers)."""
    if isinstance(status, Mapping | list):
        status, headers = 200, status
    return finished(status_of(status), _header_list(headers or {}), *_plain(body))


def _header_list(headers: Any) -> list[tuple[str, str]]:
    if isinstance(headers, list | tuple):
        return sendable((str(name), str(value)) for name, value in headers if value is not None)
    return header_pairs(headers)


def _plain(body: Any) -> tuple[str, bytes]:
    """JSON for a dict, bytes as they are, anything else as `str` spells it."""
    if isinstance(body, dict):
        return JSON, json_text(body).encode("utf-8", "surrogatepass")
    if isinstance(body, bytes | bytearray):
        return BYTES, bytes(body)
    return HTML, str(body).encode("utf-8", "surrogatepass")
