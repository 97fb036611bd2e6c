"""What an instance is loaded with, and the words of the protocol about it: the load message, and a load that failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fnctl.errors import LoadError
from fnctl.model import Bundle, Function, RuntimeSpec

PORT = 3000  # what a web app is told to listen on; nothing does
MESSAGE_CHARS, STACK_CHARS = 2000, 16_000


@dataclass(frozen=True, slots=True)
class Code:
    """A function, its bundle, and how its runtime is booted."""

    function: Function
    bundle: Bundle
    runtime: RuntimeSpec

    @property
    def version(self) -> str:
        return self.bundle.digest.removeprefix("sha256:")[:12]


def load_message(code: Code) -> dict[str, Any]:
    """The fields of `load` (layers/PROTOCOL.md)."""
    function = code.function
    return {
        "function": function.name,
        "version": code.version,
        "handler": function.handler,
        "root": "/fn/app",
        "model": str(function.model),
        "env": dict(function.environment),
        "concurrency": function.concurrency,
        "timeout_ms": int(function.timeout_s * 1000),
        "memory_mb": function.memory_mb,
        "port": PORT,
        **({"contract": str(function.contract)} if function.contract else {}),
        **({"initializer": function.initializer} if function.initializer else {}),
    }


def load_error(name: str, message: Mapping[str, Any]) -> LoadError:
    """The error that a `load_failed` stands for: file, line and message of the function's own, its stack as detail."""
    where = f"{message['file']}:{message.get('line', '?')}: " if message.get("file") else ""
    what = f"{message.get('type', 'Error')}: {message.get('message', '')}"
    return LoadError(
        f"{name} did not load: {where}{what}"[:MESSAGE_CHARS],
        detail=str(message.get("stack", ""))[:STACK_CHARS] or None,
        hint=f"mend it and save, or see `fnctl logs {name}`",
    )
