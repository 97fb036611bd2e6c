"""How the agent of one sandbox ended last, and who waits to hear it. Not what that means: verdict.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

# A supervisor says how an agent ended within milliseconds; past this the sandbox itself is gone.
EXIT_NEWS_S = 0.45


class ExitNews:
    """`last` is what the supervisor, or a forking agent, said of the process that ended; None while one runs."""

    def __init__(self) -> None:
        self.last: Mapping[str, Any] | None = None
        self._waiting: list[Callable[[], None]] = []

    def forget(self) -> None:
        """Another process runs, or another invocation."""
        self.last = None

    def tell(self) -> None:
        """There is news: whoever waits is called."""
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer()

    def wait(self, answer: Callable[[], None], *, known: bool) -> None:
        """Call `answer` once: on the loop's next turn where it is `known`, else with the news, or in EXIT_NEWS_S."""
        loop = asyncio.get_running_loop()
        asked = False

        def once() -> None:
            nonlocal asked
            if not asked:
                asked = True
                timer.cancel()
                answer()

        timer = loop.call_later(EXIT_NEWS_S, once)
        if known:
            loop.call_soon(once)
        else:
            self._waiting.append(once)
