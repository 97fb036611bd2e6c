"""AWS's JSON protocol 1.0: requests, errors, and the checksums that SDKs check. Pure.

Shapes are those of SQS' published service model (2012-11-05).
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

from fnctl.errors import FnctlError

CONTENT_TYPE = "application/x-amz-json-1.0"
# By their names in the model, what clients that spoke the query protocol before know them as.
_BEFORE = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
}


class SqsError(FnctlError):
    """`kind`: its name in the service model."""

    def __init__(self, kind: str, message: str, *, status: int = 400) -> None:
        super().__init__(message, code=kind)
        self.kind = kind
        self.http_status = status


def error_reply(error: SqsError) -> tuple[int, bytes, bytes]:
    """Status, header lines, body."""
    fault = "Sender" if error.http_status < 500 else "Receiver"
    lines = f"Content-Type: {CONTENT_TYPE}\r\nx-amzn-query-error: {_BEFORE.get(error.kind, error.kind)};{fault}\r\n"
    body = {"__type": f"com.amazonaws.sqs#{error.kind}", "message": error.message}
    return error.http_status, lines.encode(), json.dumps(body).encode()


def missing(name: str) -> SqsError:
    return SqsError("MissingParameter", f"The request must contain the parameter {name}.")


def invalid(name: str, why: str) -> SqsError:
    return SqsError("InvalidParameterValue", f"Value for parameter {name} is invalid. Reason: {why}.")


def text(said: Mapping[str, Any], name: str, otherwise: str | None = None) -> str:
    """A parameter that is text. Raises SqsError."""
    value = said.get(name, otherwise)
    if value is None:
        raise missing(name)
    if not isinstance(value, str):
        raise invalid(name, "Must be text")
    return value


def number(said: Mapping[str, Any], name: str, least: int, most: int, otherwise: int | None = None) -> int | None:
    """A parameter that is a whole number; text of one too, as attributes have it. Raises SqsError."""
    value = said.get(name, otherwise)
    if value is None:
        return None
    try:
        found = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else least - 1
    except ValueError:
        found = least - 1
    if not least <= found <= most:
        raise invalid(name, f"Must be between {least} and {most}")
    return found


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, Mapping[str, str]]) -> str:
    """As the SQS developer guide has it: name, type and value by name, each with its length before it."""
    whole = b""
    for name in sorted(attributes):
        each = attributes[name]
        whole += _counted(name.encode()) + _counted(each["DataType"].encode())
        if "BinaryValue" in each:
            whole += b"\x02" + _counted(base64.b64decode(each["BinaryValue"]))
        else:
            whole += b"\x01" + _counted(each["StringValue"].encode())
    return md5(whole)


def _counted(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def attributes_of(said: Mapping[str, Any], name: str) -> dict[str, dict[str, str]]:
    """Message attributes, checked. Raises SqsError."""
    given = said.get(name) or {}
    if not isinstance(given, dict):
        raise invalid(name, "Must be a map")
    if len(given) > 10:
        raise invalid(name, "A message has at most 10 attributes")
    return {key: _attribute(key, each) for key, each in given.items()}


def _attribute(key: str, each: Any) -> dict[str, str]:
    kind = each.get("DataType") if isinstance(each, dict) else None
    if not isinstance(kind, str) or kind.partition(".")[0] not in ("String", "Number", "Binary"):
        raise invalid(f"MessageAttributes.{key}.DataType", "Must be String, Number or Binary")
    field = "BinaryValue" if kind.startswith("Binary") else "StringValue"
    value = each.get(field)
    if not isinstance(value, str) or not value:
        raise invalid(f"MessageAttributes.{key}.{field}", "Must be given and not be empty")
    if field == "BinaryValue":
        try:
            base64.b64decode(value, validate=True)
        except ValueError as error:
            raise invalid(f"MessageAttributes.{key}.{field}", "Must be base64") from error
    return {"DataType": kind, field: value}


def wanted(names: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the known that somebody asks for: by name, `All`, `.*`, or a prefix `foo.*`."""
    asked = [str(each) for each in names] if isinstance(names, list) else []
    return {
        key: value
        for key, value in known.items()
        if any(each in (key, "All", ".*") or (each.endswith(".*") and key.startswith(each[:-2])) for each in asked)
    }
