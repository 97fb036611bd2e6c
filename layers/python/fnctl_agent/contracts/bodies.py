"""Bodies and heads as JSON carries them: text, base64, JSON values, status codes. Knows no contract and no request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from fnctl_agent.later import Later
from fnctl_agent.wire import BadResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import base64
    from typing import Any
else:
    base64 = Later("base64")

Result = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"
_JSON = re.compile(r"application/([^;\s]+\+)?json\s*(;|$)", re.IGNORECASE)
_BINARY = re.compile(
    r"\s*(image/(?!svg)|audio/|video/|font/|application/"
    r"(octet-stream|pdf|zip|gzip|x-gzip|x-tar|wasm|protobuf|x-protobuf|grpc|vnd\.ms-|vnd\.openxml))",
    re.IGNORECASE,
)


def is_binary(content_type: str) -> bool:
    """Whether a media type is one of bytes."""
    return _BINARY.match(content_type) is not None


def boxed(body: bytes, content_type: str) -> tuple[str, bool]:
    """A body for JSON, and whether it is in base64: where its type is one of bytes, or it is not UTF-8."""
    if not is_binary(content_type):
        try:
            return body.decode("utf-8"), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), True


def joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """A query's fields, a repeated one's values joined by commas."""
    merged: dict[str, str] = {}
    for name, value in pairs:
        merged[name] = f"{merged[name]},{value}" if name in merged else value
    return merged


def is_json(content_type: str) -> bool:
    return _JSON.match(content_type) is not None


def is_json_text(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def json_text(value: Any) -> str:
    """Raises BadResponse for what JSON cannot carry."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResponse(f"JSON cannot carry the result: {error}") from None


def encoded(value: Any) -> tuple[str, bytes]:
    """Content type and bytes of a body: text, bytes, or any JSON value."""
    if isinstance(value, str):
        return TEXT, value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes | bytearray | memoryview):
        return BYTES, bytes(value)
    return JSON, json_text(value).encode("utf-8", "surrogatepass")


def decoded(body: Any) -> bytes:
    """The bytes of a body that says it is base64. Raises BadResponse."""
    if not isinstance(body, str):
        raise BadResponse("isBase64Encoded with a body that is not a string")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise BadResponse(f"the body is not base64: {error}") from None


def status_of(value: Any) -> int:
    """A status code, as a number or its digits. Raises BadResponse."""
    digits = value if isinstance(value, str) and value.isascii() and value.isdigit() else None
    status = int(digits) if digits else value
    if type(status) is not int or not 200 <= status <= 599:
        raise BadResponse(f"statusCode {value!r} is not a number from 200 to 599")
    return status


def header_pairs(headers: Any) -> list[tuple[str, str]]:
    """A mapping's headers; a list of values is as many headers, and None is none. Raises BadResponse."""
    if not isinstance(headers, Mapping):
        raise BadResponse("headers is not a mapping")
    return sendable(
        (str(name), spelled(one))
        for name, value in headers.items()
        for one in (value if isinstance(value, list | tuple) else [value])
        if one is not None
    )


def spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def sendable(headers: Any) -> list[tuple[str, str]]:
    """Without those of the framing: the length is the body's own, and a differing one would break it."""
    return [pair for pair in headers if pair[0].lower() not in ("content-length", "transfer-encoding")]


def has_type(headers: list[tuple[str, str]]) -> bool:
    return any(name.lower() == "content-type" for name, _ in headers)


def finished(status: int, headers: list[tuple[str, str]], kind: str, content: bytes) -> Result:
    """The whole result; `kind` is the content type where the headers name none, and may be empty."""
    if kind and not has_type(headers):
        headers = [*headers, ("content-type", kind)]
    return status, headers, b"" if status in (204, 304) else content
