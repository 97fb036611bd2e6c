"""What a function is called with when its timer is due: the event of the platform that it was written for. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from fnctl.model import Contract, Function, TimerTrigger
from fnctl.triggers.http.call import CallRequest

_EVENTS = frozenset({Contract.EVENT, Contract.OPENWHISK, Contract.OPENFAAS})


def timer_request(function: Function, timer: TimerTrigger, due: float, id: str) -> CallRequest:
    """`due`: for when it was meant, which a late call is told too. `id`: of this occurrence."""
    at = stamp(due)
    if function.contract is Contract.LAMBDA:
        body: Mapping[str, object] = {
            "version": "0",
            "id": id,
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "000000000000",
            "time": at,
            "region": "us-east-1",
            "resources": [f"arn:aws:events:us-east-1:000000000000:rule/{timer.name or function.name}"],
            "detail": {},
        }
        return _request(function, f"/2015-03-31/functions/{function.name}/invocations", {}, body)
    if function.contract in (Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP):
        body = {"triggerTime": at, "triggerName": timer.name or function.name, "payload": ""}
        fc3 = function.contract is Contract.FC3_HTTP
        path = f"/2023-03-30/functions/{function.name}/invocations" if fc3 else timer.path
        return _request(function, path, {}, body)
    fields = {
        "Ce-Specversion": "1.0",
        "Ce-Id": id,
        "Ce-Source": f"/timers/{function.name}" + (f"/{timer.name}" if timer.name else ""),
        "Ce-Type": "dev.fnctl.timer",
        "Ce-Time": at,
    }
    return _request(function, timer.path, fields, {"time": at, "timer": timer.name or function.name})


def _request(function: Function, path: str, fields: Mapping[str, str], body: Mapping[str, object]) -> CallRequest:
    lines = {"Host": f"{function.name}.localhost", "Content-Type": "application/json", **fields}
    headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return CallRequest(b"POST", path.encode(), headers.encode(), json.dumps(body).encode())


def stamp(at: float) -> str:
    """RFC 3339, in UTC."""
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
