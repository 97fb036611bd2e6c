"""A broker's message as the call of a function: a CloudEvent, in binary mode over HTTP, as JSON for event handlers of
other platforms. Pure."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from fnctl.model import BrokerTrigger, Contract, Function
from fnctl.triggers.broker.port import Taken
from fnctl.triggers.event.received import CloudEvent
from fnctl.triggers.http.call import CallRequest

_FC = frozenset({Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP})
_TEXT = re.compile(r"text/|application/([\w.-]+\+)?json\b", re.IGNORECASE)


def broker_request(function: Function, trigger: BrokerTrigger, taken: Taken) -> CallRequest:
    attributes = {
        "specversion": "1.0",
        "id": taken.id,
        "source": f"/{trigger.broker}/{trigger.address}",
        "type": f"dev.fnctl.{trigger.broker}",
        "subject": taken.subject,
    }
    kind = taken.content_type or _kind(taken.data)
    host = f"Host: {function.name}.localhost\r\n".encode()
    if function.contract is Contract.LAMBDA or function.contract in _FC:
        api = {Contract.LAMBDA: "2015-03-31", Contract.FC3_HTTP: "2023-03-30"}.get(function.contract)
        path = f"/{api}/functions/{function.name}/invocations" if api else trigger.path
        said: dict[str, Any] = {**attributes, "datacontenttype": kind, **_data(taken.data, kind)}
        lines = host + b"Content-Type: application/json\r\n"
        return CallRequest(b"POST", path.encode(), lines, json.dumps(said, ensure_ascii=False).encode())
    event = CloudEvent(attributes, taken.data, kind)
    return CallRequest(b"POST", trigger.path.encode(), host + event.lines(), taken.data)


def _kind(data: bytes) -> str:
    """What a body that nobody named looks like."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    if text[:1] in ("{", "["):
        try:
            json.loads(text)
            return "application/json"
        except (ValueError, RecursionError):
            pass
    return "text/plain; charset=utf-8"


def _data(data: bytes, kind: str) -> dict[str, Any]:
    if _TEXT.match(kind):
        try:
            text = data.decode()
            return {"data": json.loads(text) if "json" in kind.lower() else text}
        except (ValueError, RecursionError):
            pass
    return {"data_base64": base64.b64encode(data).decode()}
