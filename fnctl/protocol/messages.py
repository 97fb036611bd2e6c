"""What host and sandbox send each other, as the protocol document has it: names, bounds, lines of JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fnctl.errors import ProtocolError
from fnctl.model import Function

VERSION = 1
MAX_LINE = 1 << 20  # bytes of one control line
BACKLOG = 256  # connections that a sandbox may dial before the host has taken the first
CODE = "/fn/app"
AHEAD = "/fn/ahead"

Message = dict[str, Any]


def encoded(message: Mapping[str, Any]) -> bytes:
    """The message as its line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def parsed(text: bytes) -> Any:
    """The JSON in it. ProtocolError where it is none, or nested beyond what can be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a line that is not JSON") from error


def decoded(line: bytes) -> Message:
    """ProtocolError says what the line is instead of a message."""
    message = parsed(line)
    if not isinstance(message, dict) or not isinstance(message.get("op"), str):
        raise ProtocolError("a message that is not an object with an `op`")
    return message


# -- what the host says ------------------------------------------------------------------------------------------------


def boot(argv: Sequence[str], environment: Mapping[str, str]) -> Message:
    return {"op": "boot", "argv": list(argv), "env": dict(environment)}


def kill() -> Message:
    return {"op": "kill"}


def stop() -> Message:
    return {"op": "stop"}


def read_ahead() -> Message:
    return {"op": "ahead", "folder": AHEAD}


def dial(count: int) -> Message:
    return {"op": "dial", "n": count}


def sleep() -> Message:
    return {"op": "sleep"}


def load(
    function: Function,
    version: str,
    environment: Mapping[str, str],
    port: int,
    *,
    once: bool = False,
    share: bool = False,
) -> Message:
    """`once`: the sandbox ends with the first invocation. `share`: the host takes a connection for all requests."""
    return {
        "op": "load",
        "function": function.name,
        "version": version,
        "handler": function.handler,
        "root": CODE,
        "model": str(function.model),
        "env": dict(environment),
        "concurrency": function.concurrency,
        "timeout_ms": int(function.timeout_s * 1000),
        "memory_mb": function.memory_mb,
        "port": port,
        **({"once": True} if once else {}),
        **({"share": True} if share else {}),
        **({"command": list(function.command)} if function.command else {}),
        **({"contract": str(function.contract)} if function.contract else {}),
        **({"payload": function.payload} if function.payload else {}),
        **({"warmup": function.warmup} if function.warmup else {}),
        **({"initializer": function.initializer} if function.initializer else {}),
    }
