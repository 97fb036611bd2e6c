"""What kind of callable a function is: WSGI, ASGI, an event handler, or a factory of an app. Not the calling of it."""

from __future__ import annotations

import enum
from types import FunctionType

from fnctl_agent.later import Later
from fnctl_agent.static_files import with_static_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable
    from typing import Any
else:
    inspect = Later("inspect")

# In a code object's flags: it takes any number of positional arguments; it is of an `async def`.
_VARIABLE, _COROUTINE = 0x04, 0x80


class Kind(enum.Enum):
    WSGI = "wsgi"
    ASGI = "asgi"
    EVENT = "event"
    SOCKETSERVER = "socketserver"  # a server object of the standard library, whose port was never needed


class Found:
    """The callable that a load found, and how to call it; `binding`: with EVENT, the contract's (contracts/binding.py).

    Not a dataclass, as nothing that every start makes is: writing its methods takes longer than all of this file.
    """

    __slots__ = ("binding", "kind", "target")

    def __init__(self, kind: Kind, target: Any, binding: Any = None) -> None:
        self.kind = kind
        self.target = target
        self.binding = binding

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
    if found is not None:
        found.target = with_static_files(found.target)
    return found or Found(Kind.EVENT, target)


def _app(target: Any) -> Found | None:
    if callable(getattr(target, "wsgi_app", None)):
        return Found(Kind.WSGI, target)  # Flask and its kin
    if not callable(target) or isinstance(target, type):
        return None
    call: Callable[..., Any] = target if _is_function(target) else type(target).__call__
    names = _parameters(target)
    if names[:3] == ["scope", "receive", "send"] or (len(names) == 3 and is_coroutine_function(call)):
        return Found(Kind.ASGI, target)
    if len(names) >= 2 and (names[1] == "start_response" or names[0] in ("environ", "env")):
        return Found(Kind.WSGI, target)
    return None


def _is_function(target: Any) -> bool:
    return type(target) is FunctionType or inspect.isroutine(target) or hasattr(target, "__wrapped__")


def _is_factory(target: Any, name: str) -> bool:
    return name.rpartition(".")[2] in _FACTORIES and not is_coroutine_function(target)


def plain(target: Any) -> tuple[list[str], bool] | None:
    """What nearly every handler is asked: its positional parameters, and whether it takes any number of them.

    None for what is more than a function as it was defined: that is for `inspect` to say, which takes 5 ms to import.
    """
    if type(target) is not FunctionType or target.__dict__:  # where decorators and the like leave their marks
        return None
    code = target.__code__
    return list(code.co_varnames[: code.co_argcount]), bool(code.co_flags & _VARIABLE)


def is_coroutine_function(target: Any) -> bool:
    if plain(target) is not None:
        return bool(target.__code__.co_flags & _COROUTINE)
    return inspect.iscoroutinefunction(target)


def _parameters(target: Any) -> list[str]:
    if (known := plain(target)) is not None:
        return known[0]
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def described(value: Any) -> str:
    """What a value is, in a message: "a Flask", "an int", "the class App"."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"an {kind}" if kind[0].lower() in "aeiou" else f"a {kind}"
