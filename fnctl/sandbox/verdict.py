"""What the end of an instance says about an invocation that it did not answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fnctl.errors import FnctlError, FunctionError, ProtocolError
from fnctl.model import Function
from fnctl.sandbox.lifecycle import Death


def verdict(function: Function | None, death: Death | None, last_exit: Mapping[str, Any] | None) -> FnctlError:
    """`last_exit`: the supervisor's or a forking agent's figures of the process that ended, if one did."""
    name = function.name if function else "the function"
    if death is Death.OOM or (last_exit is not None and last_exit.get("oom")):
        limit = function.memory_mb if function else 0
        hint = "raise `memory` in fnctl.yaml"
        return FunctionError(f"{name} ran out of memory (limit {limit} MB)", code="oom", hint=hint)
    if death is Death.LOST:
        return FunctionError(f"the container of {name} was removed", code="sandbox_lost", retry_after_s=1)
    if death is Death.BREACH:
        return ProtocolError(f"{name}: its container broke the agent protocol and was removed")
    if last_exit is not None:
        how = f"signal {last_exit['signal']}" if last_exit.get("signal") else f"exit code {last_exit.get('code', 0)}"
        return FunctionError(f"{name} exited during the invocation ({how})", hint=f"see `fnctl logs {name}`")
    return FunctionError(f"{name} closed the connection without a response", code="bad_response")
