"""What the store keeps of a call: its request as a message's body, its outcome as a message's result. Pure."""

from __future__ import annotations

import base64
import itertools
import json
import struct
from typing import Any

from fnctl.triggers.http.call import Answer, CallRequest

_LENGTHS = struct.Struct(">III")
PREFIX = "fn/"


def queue_of(function: str) -> str:
    """The queue of a function's calls."""
    return PREFIX + function


def function_of(queue: str) -> str | None:
    """The function whose calls these are; None where they are no calls."""
    return queue.removeprefix(PREFIX) if queue.startswith(PREFIX) else None


def packed(request: CallRequest) -> bytes:
    """The lengths of method, target and headers, then these and the body as they are."""
    method, target, headers = request.method, request.target, request.headers
    return b"".join((_LENGTHS.pack(len(method), len(target), len(headers)), method, target, headers, request.body))


def unpacked(data: bytes) -> CallRequest:
    method, target, headers = _LENGTHS.unpack_from(data)
    start = _LENGTHS.size
    ends = itertools.accumulate((start, method, target, headers))
    return CallRequest(*(data[begin:end] for begin, end in itertools.pairwise((*ends, len(data)))))


def outcome(answer: Answer, why: str | None = None) -> bytes:
    """The last attempt's answer. `why`: it is the end, for another reason than the answer."""
    said: dict[str, Any] = {"status": answer.status}
    if answer.error is not None:
        said["error"] = {"code": answer.error.code, "message": answer.error.message}
        if answer.error.hint:
            said["error"]["hint"] = answer.error.hint
    else:
        said["headers"] = fields(answer.headers)
        try:
            said["body"] = answer.body.decode()
        except UnicodeDecodeError:
            said["body_base64"] = base64.b64encode(answer.body).decode()
        if answer.cut:
            said["cut"] = True
    if why is not None:
        said["reason"] = why
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")


def read_outcome(result: bytes | None) -> dict[str, Any] | None:
    return json.loads(result) if result else None


def fields(lines: bytes) -> dict[str, str]:
    """By name in lower case; what comes twice is joined, as HTTP has it."""
    found: dict[str, str] = {}
    for line in lines.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            key, text = name.decode().lower(), value.strip(b" \t").decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found
