"""What an instance is loaded with, and the words of the protocol about it: the load message, and a load that failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fnctl.errors import DeadlineExceeded, LoadError
from fnctl.model import Bundle, Function, Isolation, Model, Network, RuntimeSpec
from fnctl.runtime import advice

PORT = 3000  # what a web app is told to listen on; nothing does
MESSAGE_CHARS, STACK_CHARS, LINE_CHARS = 2000, 16_000, 300


@dataclass(frozen=True, slots=True)
class Code:
    """A function, its bundle, and how its runtime is booted."""

    function: Function
    bundle: Bundle
    runtime: RuntimeSpec

    @property
    def networked(self) -> bool:
        """Its sandbox is put on a network."""
        return self.function.network is not Network.NONE

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
        "env": environment(code),
        "concurrency": function.concurrency,
        "timeout_ms": int(function.timeout_s * 1000),
        "memory_mb": function.memory_mb,
        "port": port(function),
        **({"once": True} if once(function) else {}),
        **({"command": list(function.command)} if function.command else {}),
        **({"contract": str(function.contract)} if function.contract else {}),
        **({"initializer": function.initializer} if function.initializer else {}),
    }


def once(function: Function) -> bool:
    """Whether its sandbox ends with the first invocation."""
    return function.model is Model.EPHEMERAL and function.isolation is Isolation.CONTAINER


def environment(code: Code) -> dict[str, str]:
    """The function's own variables, over those that its runtime gives to a command."""
    given = dict(code.runtime.commands) if code.function.command else {}
    return {**given, **dict(code.function.environment)}


def port(function: Function) -> int:
    """Where it is to listen. A command that cannot be told listens where it will: its `PORT` then says where."""
    return int(dict(function.environment).get("PORT", PORT)) if function.command else PORT


def load_error(function: Function, message: Mapping[str, Any], output: Iterable[str] = ()) -> LoadError:
    """The error that a `load_failed` stands for: file, line and message of the function's own, its stack as detail.

    Where it has no stack, the last lines of `output` tell more than the end of the process does.
    """
    where = f"{message['file']}:{message.get('line', '?')}: " if message.get("file") else ""
    what = f"{message.get('type', 'Error')}: {message.get('message', '')}"
    stack = str(message.get("stack", ""))[:STACK_CHARS]
    said = "" if stack else "".join(f"\n  {line[:LINE_CHARS]}" for line in output)
    return LoadError(
        f"{function.name} did not load: {where}{what}"[:MESSAGE_CHARS] + (f"; it said last:{said}" if said else ""),
        detail=stack or None,
        hint=advice.hint(function, what + said) or f"mend it and save, or see `fnctl logs {function.name}`",
    )


def load_timeout(function: Function, timeout_s: float, waits_for: str) -> DeadlineExceeded:
    """`waits_for`: what the agent said last that it waits for, if it did."""
    if function.command:
        hint = "let it listen on $PORT, or say where it does listen: `environment: {PORT: …}`; or raise `timeout`"
    else:
        hint = "work at import time counts as load: move it into the handler, or raise `timeout`"
    waited = f": waited for {waits_for[:MESSAGE_CHARS]}" if waits_for else ""
    return DeadlineExceeded(
        f"{function.name}: the code did not load within {timeout_s:g} s{waited}", hint=hint, code="load_timeout"
    )
