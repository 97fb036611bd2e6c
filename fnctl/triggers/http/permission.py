"""What a function's code may reach at the address inside its sandbox: the words of `calls`. Pure; not who it is.

NAME               that function, whichever API is used, and its durable executions
queue/NAME         that named queue: its messages, and its rules
workflow/NAME      to begin that workflow, which calls what it wants
event/TYPE         to publish events of this type, event/* of all: who subscribed is called
"""

from __future__ import annotations

from fnctl.errors import Forbidden
from fnctl.model import Function


def may(caller: Function | None, word: str) -> bool:
    """`caller` None: it is the user of this machine."""
    if caller is None or caller.calls is None or word in caller.calls:
        return True
    kind, slash, _ = word.partition("/")
    return bool(slash) and kind == "event" and "event/*" in caller.calls


def check(caller: Function | None, word: str, to: str = "call") -> None:
    """Raises Forbidden."""
    if not may(caller, word):
        assert caller is not None
        raise Forbidden(
            f"{caller.name} is not allowed to {to} {word[:100]}",
            hint=f"add `{word[:100]}` to `calls` of {caller.name} in fnctl.yaml",
        )
