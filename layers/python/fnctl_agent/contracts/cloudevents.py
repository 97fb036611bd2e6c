"""CloudEvents 1.0 over HTTP: `handler(event)` or `handler(event, context)`; a returned event goes out.

Sources: github.com/cloudevents/spec, v1.0.2: spec.md, bindings/http-protocol-binding.md (binary and structured mode),
formats/json-format.md. Reading and writing is done here, so that it does not depend on what is installed; only the
event's class does: with the SDK (package `cloudevents`, 1.x or 2.x) it is the SDK's CloudEvent, without it one of the
same shape as that of 1.x. A returned event is one of these, or a dict with at least `type` and `source`; it goes out in
structured mode where the request came so or accepts it, else in binary mode. Batches are refused with 415.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from fnctl_agent.contracts import event as own
from fnctl_agent.contracts.binding import Call, Contract, Load, Refused, arity, expect, place
from fnctl_agent.contracts.bodies import BYTES, JSON, TEXT, Result, encoded, is_json, is_json_text, json_text, spelled
from fnctl_agent.interface import Found, Kind, NotCallable, described
from fnctl_agent.wire import BadResponse

STRUCTURED = "application/cloudevents+json"
VERSION = "1.0"
REQUIRED = ("specversion", "id", "source", "type")
_TEXT = re.compile(r"text/|application/xml\b|[^;]+\+xml", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')  # needs no percent-encoding


class CloudEvent(Mapping[str, Any]):
    """Where no SDK is installed: attributes as a mapping, and `data`."""

    def __init__(self, attributes: Mapping[str, Any], data: Any = None) -> None:
        made = {"specversion": VERSION, "id": str(uuid.uuid4()), "time": datetime.now(UTC).isoformat()}
        self._attributes = {**made, **attributes}
        self.data = data

    def __getitem__(self, name: str) -> Any:
        return self._attributes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    def get_attributes(self) -> dict[str, Any]:
        return dict(self._attributes)

    def get_data(self) -> Any:
        return self.data

    def __repr__(self) -> str:
        return f"CloudEvent({self._attributes!r}, data={self.data!r})"


class CloudEvents(Contract):
    def adopt(self, target: Any, name: str, load: Load) -> Found:
        count = arity(target, 2) if callable(target) else 1
        if count == 0:
            raise NotCallable(f"cloudevents calls {name}(event), but it takes no parameters", place(target))
        expect(target, name, "cloudevents", *("event", "context")[:count])
        return Found(Kind.EVENT, target, EventBinding(load, count, event_class()))


def event_class() -> Any:
    """The SDK's class of version 1.x, or of 2.x, or our own."""
    for module in ("cloudevents.http", "cloudevents.core.v1.event"):
        try:
            return importlib.import_module(module).CloudEvent
        except ModuleNotFoundError as error:
            if not error.name or error.name.partition(".")[0] != "cloudevents":
                raise
    return CloudEvent


class EventBinding(own.EventBinding):
    def __init__(self, load: Load, count: int, kind: Any) -> None:
        super().__init__(load, count)
        self._class = kind
        self._typed_time = kind.__module__.startswith("cloudevents.core")  # whose `time` is a datetime

    def arguments(self, call: Call) -> tuple[Any, ...]:
        attributes, data = received(call)
        if self._typed_time and "time" in attributes:
            attributes["time"] = _time(attributes["time"])
        try:
            event = self._class(attributes, data)
        except Exception as error:  # the SDK's own checks, whose classes differ by version
            raise Refused(f"not a CloudEvent: {error}") from None
        return (event, self._context(call))[: self._arity]

    def response(self, result: Any, call: Call) -> Result:
        if result is None:
            return 204, [], b""
        structured = any(STRUCTURED in call.header(name).lower() for name in ("content-type", "accept"))
        try:
            attributes, data = _taken_apart(result)
            _check(attributes)
        except (Refused, ValueError) as error:
            raise BadResponse(f"the handler returned no event: {error}") from None
        return _as_document(attributes, data) if structured else _as_headers(attributes, data)


CONTRACT = CloudEvents()


# --- in ---


def received(call: Call) -> tuple[dict[str, Any], Any]:
    """Attributes and data, in either mode. Raises Refused."""
    kind = call.header("content-type").lower()
    if kind.startswith(STRUCTURED):
        attributes, data = _structured(call.body)
    elif kind.startswith("application/cloudevents"):
        raise Refused(f"of CloudEvents only single ones in JSON are taken, not {kind}", 415)
    else:
        attributes, data = _binary(call)
    _check(attributes)
    return attributes, data


def _structured(body: bytes) -> tuple[dict[str, Any], Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise Refused(f"not a CloudEvent: the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refused("not a CloudEvent: the body is not a JSON object")
    try:
        return _parts(document)
    except ValueError as error:
        raise Refused(f"not a CloudEvent: {error}") from None


def _parts(document: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Attributes and data of the JSON format; null attributes are as good as none. Raises ValueError."""
    if "data" in document and "data_base64" in document:
        raise ValueError("it has both data and data_base64")
    data = document.pop("data", None)
    if (encoded := document.pop("data_base64", None)) is not None:
        data = base64.b64decode(encoded, validate=True)
    return {name: value for name, value in document.items() if value is not None}, data


def _binary(call: Call) -> tuple[dict[str, Any], Any]:
    attributes: dict[str, Any] = {
        name[3:]: unquote(value.strip().strip('"'))
        for name, value in call.headers().items()
        if name.startswith("ce-") and name != "ce-datacontenttype"
    }
    if not attributes:
        raise Refused(f"not a CloudEvent: neither ce- headers nor the content type {STRUCTURED}")
    kind = call.header("content-type")
    if kind:
        attributes["datacontenttype"] = kind
    return attributes, _data(call.body, kind)


def _data(body: bytes, kind: str) -> Any:
    """JSON as its value, text as text, everything else as bytes."""
    if not body:
        return None
    if is_json(kind):
        try:
            return json.loads(body)
        except ValueError as error:
            raise Refused(f"not a CloudEvent: its data is not {kind}: {error}") from None
    if not _TEXT.match(kind):
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body


def _check(attributes: dict[str, Any]) -> None:
    for name in REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise Refused(f"not a CloudEvent: the attribute {name} is missing or empty")
    if attributes["specversion"] != VERSION:
        raise Refused(f"a CloudEvent of version {attributes['specversion']}; taken is {VERSION}")
    for name, value in attributes.items():
        if not _ATTRIBUTE.fullmatch(name):
            raise Refused(f"not a CloudEvent: {name!r} is no attribute's name (lower-case letters and digits)")
        if not isinstance(value, str | int | bool):
            raise Refused(f"not a CloudEvent: the attribute {name} is {described(value)}")
    if "time" in attributes:
        _time(attributes["time"])


def _time(text: Any) -> datetime:
    try:
        if not isinstance(text, str) or len(text) < len("2018-04-05T17:31:00Z"):
            raise ValueError
        return datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"not a CloudEvent: time {text!r} is not of RFC 3339") from None


# --- out ---


def _taken_apart(result: Any) -> tuple[dict[str, Any], Any]:
    """Attributes and data of a returned event. Raises ValueError."""
    if hasattr(result, "get_attributes"):
        given, data = result.get_attributes(), result.get_data() if hasattr(result, "get_data") else result.data
    elif isinstance(result, dict):
        given, data = _parts(dict(result))
    else:
        raise ValueError(f"{described(result)} is none")
    attributes = {name: _spelled(value) for name, value in given.items() if value is not None}
    return {"specversion": VERSION, "id": str(uuid.uuid4()), **attributes}, data


def _spelled(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _as_document(attributes: dict[str, Any], data: Any) -> Result:
    document = dict(attributes)
    if isinstance(data, bytes | bytearray):
        document["data_base64"] = base64.b64encode(data).decode("ascii")
    elif data is not None:
        document["data"] = data
    return 200, [("content-type", STRUCTURED)], json_text(document).encode("utf-8", "surrogatepass")


def _as_headers(attributes: dict[str, Any], data: Any) -> Result:
    kind = attributes.pop("datacontenttype", None)
    headers = [(f"ce-{name}", quote(spelled(value), safe=_SAFE)) for name, value in attributes.items()]
    if data is None:
        return 200, headers, b""
    if isinstance(data, bytes | bytearray):
        return 200, [*headers, ("content-type", kind or BYTES)], bytes(data)
    if isinstance(data, str):
        text = json_text(data) if kind and is_json(kind) and not is_json_text(data) else data
        return 200, [*headers, ("content-type", kind or TEXT)], text.encode("utf-8", "surrogatepass")
    return 200, [*headers, ("content-type", kind or JSON)], encoded(data)[1]
