"""What `fnctl run --watch` says when something changes, and what it does then, on the running stack."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fnctl.cli import output
from fnctl.control.updates import Edit
from fnctl.dev.area import Area, area
from fnctl.dev.listener import Watching
from fnctl.dev.watch import Watch
from fnctl.errors import FnctlError

if TYPE_CHECKING:
    from fnctl.control.compose import Stack


class Watched:
    """The stack as the watch sees it (Service), and the voice of the watch (Teller)."""

    def __init__(self, stack: Stack, said: Sequence[Path]) -> None:
        """`said`: the places that the user named, which may lead elsewhere the next time."""
        self._stack = stack
        self._said = said

    # -- Service ---------------------------------------------------------------------------------------------------

    def areas(self) -> Sequence[Area]:
        return [area(code.function, code.runtime) for code in self._stack.prepared.codes]

    def stale(self) -> Sequence[str]:
        from fnctl.builder import builds

        prepared = self._stack.prepared
        return [
            code.function.name
            for code in prepared.codes
            if builds.is_stale(code.function, code.runtime, prepared.project)
        ]

    def files(self) -> Sequence[Path]:
        return [*self._stack.prepared.project.reads, *self._said]

    @property
    def detected(self) -> bool:
        return self._stack.prepared.project.file is None

    async def rebuild(self, function: str) -> None:
        began = time.monotonic()
        edit = await self._stack.rebuild(function)
        if edit is Edit.LIVE:
            output.say(f"{function}: new code is live after {_ms(began)}")
        elif edit is Edit.NEXT:
            output.say(f"{function}: new code is built; the next request loads it")

    async def reload(self) -> None:
        began = time.monotonic()
        applied = await self._stack.reload(code=False)
        if applied:
            output.say(f"configuration applied after {_ms(began)}: {applied}")
        output.notes(applied.notes)

    # -- Teller ----------------------------------------------------------------------------------------------------

    def failed(self, function: str | None, error: FnctlError) -> None:
        output.error(error)
        kept = f"{function}: still serving the previous code" if function else "still serving the previous version"
        output.say(kept)

    def watching(self, how: Watching) -> None:
        parts = [f"{how.folders} folders"] if how.folders else []
        if how.files:
            parts.append(f"{how.files} files every {how.every_s:.0f} s")
        output.say(f"watching {' and '.join(parts)} for changes" if parts else "nothing to watch")

    def trouble(self, error: FnctlError) -> None:
        output.warning(error)


def _ms(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"


@contextlib.asynccontextmanager
async def edits(stack: Stack, said: Sequence[Path]) -> AsyncIterator[None]:
    """While inside: what is saved is built, loaded, and takes over; what is not sound is told, the old code stays."""
    watched = Watched(stack, said)
    watching = Watch(watched, watched)
    await watching.start()
    try:
        yield
    finally:
        await watching.stop()
