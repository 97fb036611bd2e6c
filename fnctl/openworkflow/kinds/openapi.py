"""call: openapi. The operation of a document (OpenAPI 3, Swagger 2) as one HTTP request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.frame import Frame
from fnctl.openworkflow.kinds import http, resources
from fnctl.openworkflow.world import HttpRequest

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


async def perform(run: Run, frame: Frame) -> Any:
    said = frame.task["with"]
    uri, _ = http.endpoint(run, frame, said["document"]["endpoint"])
    operation = await resources.document(
        run,
        frame.place.below("openapi"),
        said["document"],
        frame,
        lambda found: found_in(found, said["operationId"], uri),
    )
    given = run.filled(said.get("parameters", {}), frame.input, frame.place, frame)
    policy = http.policy_of(run, frame, said.get("authentication"))
    return await http.exchange(run, frame, request_of(operation, given), policy, said)


def found_in(document: Any, id: str, address: str) -> dict[str, Any]:
    """What is needed of an operation: method, url, and where each parameter goes. Raises Fault."""
    if not isinstance(document, Mapping) or not isinstance(document.get("paths"), Mapping):
        raise standard("configuration", f"{address} is no OpenAPI document: it has no paths")
    known = []
    for path, item in document["paths"].items():
        for method, operation in item.items() if isinstance(item, Mapping) else ():
            if method in _METHODS and isinstance(operation, Mapping):
                known.append(str(operation.get("operationId")))
                if operation.get("operationId") == id:
                    return _needed(document, path, method, item, operation, address)
    raise standard("configuration", f"{address} has no operation `{id}`; there are {', '.join(known[:20])}")


def _needed(
    document: Mapping[str, Any], path: str, method: str, item: Any, operation: Mapping[str, Any], address: str
) -> dict[str, Any]:
    both = [*item.get("parameters", ()), *operation.get("parameters", ())]
    parameters = [_resolved(document, each) for each in both]
    body = _resolved(document, operation.get("requestBody") or {})
    kept = [{key: each.get(key) for key in ("name", "in", "required")} for each in parameters]
    return {
        "method": method.upper(),
        "url": f"{base_of(document, address).rstrip('/')}{path}",
        "parameters": kept,
        "body": next(iter(body.get("content", {})), None) if body else None,
    }


def _resolved(document: Mapping[str, Any], part: Any) -> Mapping[str, Any]:
    """A part, or what its `$ref` within the document leads to."""
    for _ in range(10):
        if not isinstance(part, Mapping):
            break
        reference = part.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return part
        found: Any = document
        for word in reference[2:].split("/"):
            found = found.get(word.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
        part = found
    return {}


def base_of(document: Mapping[str, Any], address: str) -> str:
    """Where the operations are, from what the document says and where it was found."""
    if "swagger" in document:
        parts = urlsplit(address)
        schemes = document.get("schemes") or [parts.scheme]
        scheme = "https" if "https" in schemes else schemes[0]
        return f"{scheme}://{document.get('host') or parts.netloc}{document.get('basePath', '')}"
    servers = document.get("servers") or [{"url": "/"}]
    url = str(servers[0].get("url", "/"))
    for name, variable in servers[0].get("variables", {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    return urljoin(address, url)


def request_of(operation: Mapping[str, Any], given: Mapping[str, Any]) -> HttpRequest:
    """Each parameter where it belongs; what no parameter is named after goes into the body. Raises Fault."""
    url, query, fields = str(operation["url"]), [], {"accept": "application/json"}
    body: Any = None
    left = dict(given)
    for parameter in operation["parameters"]:
        name, place = parameter["name"], parameter["in"]
        if name not in left:
            if parameter["required"]:
                raise standard("validation", f"the operation needs the parameter `{name}` ({place})")
            continue
        value = left.pop(name)
        if place == "path":
            url = url.replace(f"{{{name}}}", quote(_text(value), safe=""))
        elif place == "query":
            query += [(name, _text(each)) for each in _each(value)]
        elif place == "header":
            fields[name.lower()] = _text(value)
        elif place == "cookie":
            fields["cookie"] = f"{name}={_text(value)}"
        elif place in ("body", "formData"):
            body = value if place == "body" else {**(body or {}), name: value}
    if operation["body"] is not None:
        body = left.pop("body", None) if set(left) == {"body"} else (left or None)
    if query:
        from urllib.parse import urlencode

        url += ("&" if "?" in url else "?") + urlencode(query)
    return http.made(operation["method"], url, fields, body)


def _each(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
