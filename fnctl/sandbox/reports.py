"""Messages from agents and supervisors, as checked values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fnctl.errors import ProtocolError

MOST = 1e15  # of any figure: milliseconds, kilobytes


def text(said: Mapping[str, Any], name: str, default: str = "") -> str:
    """A field's text, which every encoding can carry; `?` for what is neither text nor a plain value."""
    value = said.get(name)
    if value is None:
        return default
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return str(value) if isinstance(value, bool | int | float) and abs(value) < MOST else "?"


def amount(said: Mapping[str, Any], name: str) -> float:
    """A figure, 0 where there is none. ProtocolError where it is no amount of anything."""
    value = said.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MOST:
        raise ProtocolError(f"`{name}` that is no amount")
    return float(value)


def ending(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message about a process's end: `code` and `signal` are what a process can end with, if they are there."""
    for name in ("code", "signal"):
        value = said.get(name, 0)
        if not isinstance(value, int) or not 0 <= value < 256:
            raise ProtocolError(f"a `{name}` that no process ends with")
    return said
