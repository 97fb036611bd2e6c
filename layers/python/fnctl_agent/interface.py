"""What kind of callable a function is: WSGI, ASGI, an event handler, or a factory of an app. Not the calling of it."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Kind(enum.Enum):
    WSGI = "wsgi"
    ASGI = "asgi"
    EVENT = "event"
    SOCKETSERVER = "socketserver"  # a server object of the standard library, whose port was never needed


@dataclass(frozen=True, slots=True)
class Found:
    """The callable that a load found, and how to call it."""

    kind: Kind
    target: Any
    binding: Any = None  # with EVENT: the contract's (contracts/binding.py)

    @property
    def word(self) -> str:
        """`kind` as the protocol spells it."""
        return "event" if self.kind is Kind.EVENT else "web"


class Unusable(Exception):
    """What the handler names cannot be used; `place` is the file and line to look at, where there is one."""

    def __init__(self, message: str, place: tuple[str, int] | None = None) -> None:
        super().__init__(message)
        self.place = place


class NoSuchHandler(Unusable):
    """The handler names nothing that is there."""


class NotCallable(Unusable):
    """What the handler names cannot be called, or not as its contract calls."""


_FACTORIES = ("create_app", "make_app", "get_app", "app_factory", "factory")


def classify(target: Any, name: str) -> Found:
    """Tell by instance, coroutine-ness and the names of the parameters. A factory is called, once.

    Raises NotCallable; what a factory raises goes through.
    """
    if not callable(target):
        raise NotCallable(f"{name} is {described(target)}, not an app or a function")
    found = _app(target)
    if found is None and _is_factory(target, name):
        found = _app(made := target())
        if found is None:
            raise NotCallable(f"{name}() returned {described(made)}, which is neither a WSGI nor an ASGI app")
    return found or Found(Kind.EVENT, target)


def _app(target: Any) -> Found | None:
    if callable(getattr(target, "wsgi_app", None)):
        return Found(Kind.WSGI, target)  # Flask and its kin
    if not callable(target) or inspect.isclass(target):
        return None
    call: Callable[..., Any] = target if _is_function(target) else type(target).__call__
    names = _parameters(target)
    if names[:3] == ["scope", "receive", "send"] or (len(names) == 3 and inspect.iscoroutinefunction(call)):
        return Found(Kind.ASGI, target)
    if len(names) >= 2 and (names[1] == "start_response" or names[0] in ("environ", "env")):
        return Found(Kind.WSGI, target)
    return None


def _is_function(target: Any) -> bool:
    return inspect.isroutine(target) or hasattr(target, "__wrapped__")


def _is_factory(target: Any, name: str) -> bool:
    return name.rpartition(".")[2] in _FACTORIES and not inspect.iscoroutinefunction(target)


def _parameters(target: Any) -> list[str]:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def described(value: Any) -> str:
    """What a value is, in a message: "a Flask", "an int", "the class App"."""
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"an {kind}" if kind[0].lower() in "aeiou" else f"a {kind}"
