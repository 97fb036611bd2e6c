"""One HTTP request: what it is made of, and what becomes of the answer. Not how it is sent."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from fnctl.openworkflow.expression import inner
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.frame import Frame
from fnctl.openworkflow.kinds import authentication
from fnctl.openworkflow.world import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run

_TEMPLATE = re.compile(r"\{([+#]?)([A-Za-z_][\w.]*)\}")
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\b", re.IGNORECASE)


async def perform(run: Run, frame: Frame, said: Mapping[str, Any]) -> Any:
    """`call: http`."""
    uri, policy = endpoint(run, frame, said["endpoint"])
    fields = _texts(run.filled(said.get("headers", {}), frame.input, frame.place, frame), "headers")
    query = _texts(run.filled(said.get("query", {}), frame.input, frame.place, frame), "query")
    body = run.filled(said["body"], frame.input, frame.place, frame) if "body" in said else None
    request = made(str(said["method"]), with_query(uri, query), fields, body)
    return await exchange(run, frame, request, policy, said)


async def exchange(
    run: Run, frame: Frame, request: HttpRequest, policy: Mapping[str, Any] | None, said: Mapping[str, Any]
) -> Any:
    """Send it, with what proves who we are; the answer in the form that `output` asks for."""
    await run.journal.flush()
    step = run.step(frame)
    response = await authentication.send(run.world, step, request, policy)
    limit = 400 if said.get("redirect", False) else 300
    if not 200 <= response.status < limit:
        shown = response.body[:500].decode("utf-8", "replace").strip()
        detail = f"{request.method} {request.url} answered {response.status}" + (f": {shown}" if shown else "")
        raise standard("communication", detail, status=response.status)
    return output_of(request, response, said.get("output", "content"))


def endpoint(run: Run, frame: Frame, said: Any) -> tuple[str, Mapping[str, Any] | None]:
    """Where to, and which policy of authentication, filled in."""
    policy = None
    if isinstance(said, Mapping):
        policy = policy_of(run, frame, said.get("authentication"))
        said = said["uri"]
    if inner(said) is not None:
        uri = run.evaluate(said, frame.input, frame.place, frame)
        if not isinstance(uri, str):
            raise standard("expression", f"the endpoint `{said}` is {json.dumps(uri)[:100]}, not an address")
    else:
        uri = expanded(said, frame.input, frame.place.variables)
    if urlsplit(uri).scheme not in ("http", "https"):
        raise standard("configuration", f"{uri} is not an address of http or https")
    return uri, policy


def policy_of(run: Run, frame: Frame, said: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A policy, inline or by its name (`use:`), its secrets and expressions filled in."""
    if said is None:
        return None
    if "use" in said:
        name = said["use"]
        found = run.definition.used("authentications", name)
        if found is None:
            raise standard("configuration", f"`use.authentications` has no `{name}`")
        said = found
    ((scheme, details),) = said.items()
    if "use" in details:
        details = run.world.secret(details["use"])
        if not isinstance(details, Mapping):
            raise standard("authorization", f"the secret for `{scheme}` is not a JSON object")
    filled = run.filled(details, frame.input, frame.place, frame)
    return {scheme: filled}


def expanded(template: str, data: Any, variables: Mapping[str, Any]) -> str:
    """RFC 6570, its simple forms: `{name}` is a key of the input, or a variable. What is not known is left empty."""

    def value(found: re.Match[str]) -> str:
        known = {**variables, **(data if isinstance(data, Mapping) else {})}
        said = known.get(found[2])
        if said is None:
            return ""
        text = said if isinstance(said, str) else json.dumps(said)
        return quote(text, safe="/:?#[]@!$&'()*+,;=" if found[1] else "")

    return _TEMPLATE.sub(value, template)


def with_query(uri: str, query: Mapping[str, str]) -> str:
    if not query:
        return uri
    parts = urlsplit(uri)
    more = urlencode(query)
    return urlunsplit(parts._replace(query=f"{parts.query}&{more}" if parts.query else more))


def made(method: str, url: str, fields: Mapping[str, str], body: Any) -> HttpRequest:
    """A request, its body as JSON unless its type says otherwise."""
    named = {name.lower(): value for name, value in fields.items()}
    data: bytes | None = None
    if body is not None:
        as_text = isinstance(body, str) and not _JSON.match(named.get("content-type", "application/json"))
        data = body.encode() if as_text else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        named.setdefault("content-type", "application/json")
    return HttpRequest(method.upper(), url, named, data)


def output_of(request: HttpRequest, response: HttpResponse, form: str) -> Any:
    """raw: base64 of what came. content: as its type says. response: both sides of the exchange."""
    if form == "raw":
        return base64.b64encode(response.body).decode()
    content = content_of(response)
    if form == "content":
        return content
    fields = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
    return {
        "request": {"method": request.method, "uri": request.url, "headers": fields},
        "statusCode": response.status,
        "headers": dict(response.headers),
        "content": content,
    }


def content_of(response: HttpResponse) -> Any:
    if not response.body:
        return None
    if _JSON.match(response.headers.get("content-type", "")):
        try:
            return json.loads(response.body)
        except (ValueError, RecursionError) as error:
            raise standard("communication", f"the answer is no JSON, as its type says: {error}") from None
    try:
        return response.body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(response.body).decode()


def _texts(said: Any, what: str) -> dict[str, str]:
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        raise standard("expression", f"`{what}` is not an object: {json.dumps(said)[:100]}")
    return {str(key): _text(value) for key, value in said.items() if value is not None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
