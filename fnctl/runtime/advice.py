"""What a function's own error means in a sandbox, and how to allow it: one hint, by the words of the error. Pure."""

from __future__ import annotations

import re

from fnctl.model import Function, Model
from fnctl.runtime import unreachable

# EROFS as Node, Python and the C library call it, and SQLite's word for a database in such a place.
_READ_ONLY = re.compile(r"EROFS|[Rr]ead-only file system|attempt to write a readonly database")


def hint(function: Function, text: str) -> str | None:
    """What to do about the failure that `text` tells of; None where it is none that the sandbox is the cause of."""
    return unreachable.hint(function, text) or _read_only(function, text)


def _read_only(function: Function, text: str) -> str | None:
    if not _READ_ONLY.search(text):
        return None
    until = "the invocation" if function.model is Model.EPHEMERAL else "the instance"
    return (
        "the code's folder (/fn/app) is read-only, and so is every other but /tmp: write there"
        f" ({function.tmp_mb} MB, in memory, gone with {until}; `tmp` in fnctl.yaml), or to a service"
    )
