"""call: asyncapi, where the server speaks HTTP: a message is sent with one request. AsyncAPI 2.6 and 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.frame import Frame
from fnctl.openworkflow.kinds import http, resources
from fnctl.openworkflow.kinds.openapi import _resolved as resolved

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run

_SPOKEN = frozenset({"http", "https"})


async def perform(run: Run, frame: Frame) -> Any:
    said = frame.task["with"]
    if "subscription" in said:
        raise standard(
            "configuration", "subscriptions of AsyncAPI are not supported; let the broker's events come by `listen`"
        )
    uri, _ = http.endpoint(run, frame, said["document"]["endpoint"])
    place = await resources.document(
        run, frame.place.below("asyncapi"), said["document"], frame, lambda found: target_of(found, said, uri)
    )
    message = run.filled(said["message"], frame.input, frame.place, frame)
    variables = run.filled(said.get("server", {}).get("variables", {}), frame.input, frame.place, frame)
    url = http.expanded(place["url"], {**(frame.input if isinstance(frame.input, Mapping) else {}), **variables}, {})
    fields = {str(key): str(value) for key, value in (message.get("headers") or {}).items()}
    policy = http.policy_of(run, frame, said.get("authentication"))
    return await http.exchange(run, frame, http.made(place["method"], url, fields, message.get("payload")), policy, {})


def target_of(document: Any, said: Mapping[str, Any], address: str) -> dict[str, Any]:
    """Method and url of the operation or channel. Raises Fault."""
    if not isinstance(document, Mapping) or "asyncapi" not in document:
        raise standard("configuration", f"{address} is no AsyncAPI document")
    channel, operation = _channel(document, said, address)
    server = _server(document, said, address)
    path = channel.get("address") or channel.get("name", "")
    method = operation.get("bindings", {}).get("http", {}).get("method", "POST")
    return {"method": str(method).upper(), "url": f"{server.rstrip('/')}/{str(path).lstrip('/')}"}


def _channel(
    document: Mapping[str, Any], said: Mapping[str, Any], address: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    channels = document.get("channels", {})
    if "operation" in said:
        name = said["operation"].removeprefix("#/operations/")
        operation = document.get("operations", {}).get(name)
        if operation is not None:
            return resolved(document, operation.get("channel", {})), operation
        for path, channel in channels.items():
            for verb in ("publish", "subscribe"):
                if channel.get(verb, {}).get("operationId") == name:
                    return {"name": path, **channel}, channel[verb]
        raise standard("configuration", f"{address} has no operation `{name}`")
    name = str(said.get("channel"))
    if name not in channels:
        raise standard("configuration", f"{address} has no channel `{name}`; there are {', '.join(channels)}")
    return {"name": name, **channels[name]}, channels[name].get("publish", {})


def _server(document: Mapping[str, Any], said: Mapping[str, Any], address: str) -> str:
    """The server by its name or protocol; else the first that speaks HTTP."""
    servers = document.get("servers", {})
    name, protocol = said.get("server", {}).get("name"), said.get("protocol")
    fitting = {
        each: server
        for each, server in servers.items()
        if (name is None or each == name) and (protocol is None or server.get("protocol") == protocol)
    }
    if not fitting:
        raise standard("configuration", f"{address} has no such server; there are {', '.join(servers)}")
    spoken = next((server for server in fitting.values() if server.get("protocol") in _SPOKEN), None)
    if spoken is None:
        found = ", ".join(sorted({str(server.get("protocol")) for server in fitting.values()}))
        raise standard("configuration", f"the servers of {address} speak {found}; only http and https are supported")
    url = spoken.get("url") or f"{spoken.get('host', '')}{spoken.get('pathname', '')}"
    return url if "://" in url else f"{spoken['protocol']}://{url}"
