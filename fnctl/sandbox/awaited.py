"""Messages that somebody waits for, by name, each with a deadline. Knows nothing of what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fnctl.errors import DeadlineExceeded, FnctlError

Message = Mapping[str, Any]


class AwaitedMessages:
    """At most one waits for a name. A message or an error that nobody waits for is dropped."""

    def __init__(self) -> None:
        self._waits: dict[str, asyncio.Future[Message]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._waits

    def announce(self, name: str) -> asyncio.Future[Message]:
        """To be called before what brings the message about, so that it cannot come too early."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waits[name] = future
        return future

    async def wait(self, name: str, timeout_s: float, what: str) -> Message:
        """The message. DeadlineExceeded (`NAME_timeout`) says what was waited for; else what `fail` was given."""
        future = self._waits.get(name) or self.announce(name)
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError as late:
            raise DeadlineExceeded(f"waited {timeout_s:g} s for {what}", code=f"{name}_timeout") from late
        finally:
            self._waits.pop(name, None)
            if future.done() and not future.cancelled():
                future.exception()  # it was seen

    def resolve(self, name: str, message: Message) -> None:
        if (future := self._waits.get(name)) is not None and not future.done():
            future.set_result(message)

    def fail(self, name: str, error: FnctlError) -> None:
        if (future := self._waits.get(name)) is not None and not future.done():
            future.set_exception(error)

    def fail_all(self, error: FnctlError) -> None:
        for name in list(self._waits):
            self.fail(name, error)
