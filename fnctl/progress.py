"""How long work tells its progress: a port, and the silent one. Not the drawing of it (that is cli/output.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Calls may come from any thread. A step that was started is done or failed once, in any order with others."""

    def start(self, step: str) -> None:
        """Work on `step` begins, e.g. "Building image of hello-node"."""
        ...

    def line(self, step: str, text: str) -> None:
        """One line of the tool that does the step."""
        ...

    def done(self, step: str, note: str = "") -> None:
        """The step ended well; `note` such as "cached" or "2.1 MB, 63 files"."""
        ...

    def failed(self, step: str, note: str = "") -> None: ...


class Silent:
    """Tells nobody."""

    def start(self, step: str) -> None: ...

    def line(self, step: str, text: str) -> None: ...

    def done(self, step: str, note: str = "") -> None: ...

    def failed(self, step: str, note: str = "") -> None: ...


@contextmanager
def told(progress: Progress, step: str) -> Iterator[Callable[[str], None]]:
    """The step starts with the body and ends as that ends. What the body is given sets the note of a good end."""
    notes: list[str] = []
    progress.start(step)
    try:
        yield notes.append
    except BaseException:
        progress.failed(step)
        raise
    progress.done(step, *notes[-1:])
