"""What differs between the functions that run and those that the project's files ask for now. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from fnctl.model import Function


class Change(enum.IntEnum):
    """What becomes of a function; the greater of two is the one that counts."""

    NONE = 0
    RULES = 1  # only what gateway and scheduler go by: the instances stay
    INSTANCES = 2  # what instances are started with: the same code in fresh ones
    BUNDLE = 3  # its code may be another
    NEW = 4


_RULES = frozenset(
    {"triggers", "owns_prefix", "deferred", "auth", "jwt", "queue", "max_body_mb"}
    | {"scale", "idle_timeout_s", "keep_s", "health"}
)
_BUNDLE = frozenset({"path", "runtime", "handler", "command", "contract", "initializer", "payload", "private"})


@dataclass(frozen=True, slots=True)
class Applied:
    """What a reload has done, by function. `notes`: what it could not take over."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def __str__(self) -> str:
        parts = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names) or "nothing has changed"


def change(old: Function | None, new: Function) -> Change:
    """What the entry of one function has come to ask for."""
    if old is None:
        return Change.NEW
    before, after = _placeless(old), _placeless(new)
    differing = {field.name for field in fields(Function) if getattr(before, field.name) != getattr(after, field.name)}
    if not differing:
        return Change.NONE
    if differing & _BUNDLE:
        return Change.BUNDLE
    return Change.RULES if differing <= _RULES else Change.INSTANCES


def _placeless(function: Function) -> Function:
    """In which line a secret is declared is no part of what the function is."""
    return replace(function, secrets=tuple(replace(secret, declared="") for secret in function.secrets))


def compare(
    old: Mapping[str, Function],
    new: Sequence[Function],
    marks: Mapping[str, bytes],
    now: Mapping[str, bytes],
) -> tuple[dict[str, Change], tuple[str, ...]]:
    """The change of each function, and those that are gone. `marks`, `now`: of their secrets (sandbox/secrets.py)."""
    found = {each.name: change(old.get(each.name), each) for each in new}
    for name in found:
        if marks.get(name) != now.get(name):
            found[name] = max(found[name], Change.INSTANCES)
    return found, tuple(name for name in old if name not in found)


def applied(changes: Mapping[str, Change], removed: Iterable[str], notes: Iterable[str] = ()) -> Applied:
    return Applied(
        tuple(name for name, each in changes.items() if each is Change.NEW),
        tuple(name for name, each in changes.items() if Change.NONE < each < Change.NEW),
        tuple(removed),
        tuple(notes),
    )
