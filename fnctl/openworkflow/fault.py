"""Faults of a run, as the specification has them: problem details (RFC 7807). Not errors of the platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TYPES = "https://serverlessworkflow.io/spec/1.0.0/errors/"
# The specification's conformance suite, and older documents, name the same types in these places.
_ALIASES = (
    "https://serverlessworkflow.io/dsl/errors/types/",
    "https://https://serverlessworkflow.io/spec/1.0.0/errors/",
)
STANDARD = {
    "configuration": (400, "Configuration Error"),
    "validation": (400, "Validation Error"),
    "expression": (400, "Expression Error"),
    "authentication": (401, "Authentication Error"),
    "authorization": (403, "Authorization Error"),
    "timeout": (408, "Timeout"),
    "communication": (500, "Communication Error"),
    "runtime": (500, "Runtime Error"),
}


class Fault(Exception):
    """A run, or a part of it, has failed. `instance`: the task that it comes from, as a JSON pointer."""

    def __init__(
        self, type: str, status: int, title: str | None = None, detail: str | None = None, instance: str | None = None
    ) -> None:
        super().__init__(detail or title or type)
        self.type = type
        self.status = status
        self.title = title
        self.detail = detail
        self.instance = instance

    def to_json(self) -> dict[str, Any]:
        said = {"type": self.type, "status": self.status, "title": self.title, "detail": self.detail}
        said["instance"] = self.instance
        return {key: value for key, value in said.items() if value is not None}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Fault:
        return cls(said["type"], said["status"], said.get("title"), said.get("detail"), said.get("instance"))


def standard(kind: str, detail: str, *, status: int | None = None, title: str | None = None) -> Fault:
    """A fault of one of the specification's types. `status`: where it is another than that type's own."""
    usual, named = STANDARD[kind]
    return Fault(TYPES + kind, status or usual, title or named, detail)


def same_type(wanted: str, found: str) -> bool:
    """Whether two addresses name one type, the standard ones also under their older addresses."""
    return _plain(wanted) == _plain(found)


def _plain(type: str) -> str:
    for alias in _ALIASES:
        kind = type.removeprefix(alias)
        if kind != type and kind in STANDARD:
            return TYPES + kind
    return type
