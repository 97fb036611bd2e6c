"""Alibaba Cloud Function Compute's HTTP handlers: WSGI with `fc.context` and `fc.request_uri` in the environ.

Source: "HTTP handlers" of the Python runtime (alibabacloud.com/help/doc-detail/56316.htm): a function, an object or a
class of PEP 3333, or the app of a framework. Since version 3.0 an HTTP trigger calls `handler(event, context)` instead:
that is fc3_http.py.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from fnctl_agent import logs
from fnctl_agent.contracts.binding import Load, expect, place
from fnctl_agent.contracts.fc import FunctionCompute, context
from fnctl_agent.interface import Found, Kind, NotCallable


class FcHttp(FunctionCompute):
    def adopt(self, target: Any, name: str, load: Load) -> Found:
        if inspect.isfunction(target) and list(inspect.signature(target).parameters)[1:2] == ["context"]:
            what = f"fc-http calls {name}(environ, start_response), but it takes (event, context)"
            raise NotCallable(f"{what}: the contract is fc3-http, or fc-event", place(target))
        if not inspect.isclass(target):
            expect(target, name, "fc-http", "environ", "start_response")
        return Found(Kind.WSGI, with_context(target, load))


def with_context(app: Any, load: Load) -> Any:
    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["fc.context"] = context(load, logs.invocation.get() or str(uuid.uuid4()))
        environ["fc.request_uri"] = environ["REQUEST_URI"].removeprefix(environ["SCRIPT_NAME"])  # its own, as ever
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    return call


CONTRACT = FcHttp()
