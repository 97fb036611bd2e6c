"""CloudEvents as they come over HTTP: in binary, structured and batched mode (HTTP protocol binding 1.0). Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from fnctl.cesql.values import Value
from fnctl.errors import UsageError

REQUIRED = ("id", "source", "specversion", "type")
_NAME = re.compile(r"[a-z0-9]{1,64}")
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\b", re.IGNORECASE)
# What must be escaped in a header (there, "HTTP Header Values"): all but printable ASCII, the quote and the percent.
_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """Attributes by name, extensions too; its data as it is sent on, and of which type."""

    attributes: Mapping[str, Value]
    data: bytes
    content_type: str | None

    @property
    def id(self) -> str:
        return str(self.attributes["id"])

    @property
    def source(self) -> str:
        return str(self.attributes["source"])

    def as_json(self) -> dict[str, Any]:
        """In structured mode: one JSON object."""
        said: dict[str, Any] = dict(self.attributes)
        if self.content_type is not None:
            said["datacontenttype"] = self.content_type
        if not self.data:
            return said
        try:
            text = self.data.decode()
            said["data"] = json.loads(text) if _JSON.match(self.content_type or "") else text
        except (ValueError, RecursionError):
            said["data_base64"] = base64.b64encode(self.data).decode()
        return said

    def lines(self) -> bytes:
        """The event in binary mode: header lines, each with its CRLF."""
        fields = {f"Ce-{name.title()}": _header(value) for name, value in self.attributes.items()}
        if self.content_type is not None:
            fields["Content-Type"] = self.content_type
        return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()


def received(headers: Sequence[tuple[str, str]], body: bytes) -> list[CloudEvent]:
    """The events of one request. Raises UsageError where one is none."""
    fields = {name.lower(): value for name, value in headers}
    content_type = fields.get("content-type")
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == "application/cloudevents+json":
        return [_structured(_parsed(body))]
    if kind == "application/cloudevents-batch+json":
        batch = _parsed(body)
        if not isinstance(batch, list):
            raise _malformed("a batch is a JSON array of events")
        return [_structured(each) for each in batch]
    if kind.startswith("application/cloudevents"):
        raise _malformed(f"`{kind}` is no format of events that is known here", "send application/cloudevents+json")
    attributes = {name[3:]: unquote(value) for name, value in fields.items() if name.startswith("ce-")}
    return [_checked(attributes, body, content_type)]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"its body is not JSON ({error})") from error


def _structured(said: Any) -> CloudEvent:
    if not isinstance(said, dict):
        raise _malformed("an event is a JSON object")
    attributes = {name: value for name, value in said.items() if name not in ("data", "data_base64")}
    content_type = attributes.pop("datacontenttype", None)
    if content_type is not None and not isinstance(content_type, str):
        raise _malformed("datacontenttype is no text")
    if "data_base64" in said:
        try:
            data = base64.b64decode(said["data_base64"], validate=True)
        except (ValueError, TypeError) as error:
            raise _malformed("data_base64 is no base64") from error
    elif "data" not in said:
        data = b""
    elif content_type is None or _JSON.match(content_type):
        data, content_type = json.dumps(said["data"], ensure_ascii=False).encode(), content_type or "application/json"
    elif isinstance(said["data"], str):
        data = said["data"].encode()
    else:
        raise _malformed(f"data of the type {content_type} is no text")
    return _checked(attributes, data, content_type)


def _checked(attributes: Mapping[str, Any], data: bytes, content_type: str | None) -> CloudEvent:
    for name in REQUIRED:
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise _malformed(f"the attribute `{name}` is missing or no text", "id, source, specversion, type: all four")
    if attributes["specversion"] != "1.0":
        raise _malformed(f"specversion is `{attributes['specversion']}`", "send events of version 1.0")
    for name, value in attributes.items():
        if _NAME.fullmatch(name) is None:
            raise _malformed(f"`{name}` is no name of an attribute", "lower-case letters and digits")
        if not isinstance(value, str | int | bool):
            raise _malformed(f"the attribute `{name}` is neither text, nor a whole number, nor true or false")
    return CloudEvent(dict(attributes), data, content_type)


def _header(value: Value) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quote(text, safe=_PRINTABLE)


def _malformed(what: str, hint: str | None = None) -> UsageError:
    return UsageError(f"not a CloudEvent: {what}", code="bad_event", hint=hint)
