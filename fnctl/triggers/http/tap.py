"""Reading from one connection: closed while whoever takes the bytes has no room, until the loop's next turn where what
has come is enough for one, and between its turns where it is slow (slowlane.py). Knows nothing of the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Tap:
    """`go_on` is called once for each `rest`, on a later turn, and not while the tap is shut."""

    __slots__ = ("_coming", "_go_on", "_held", "_paused", "_resting", "_transport", "shut")

    def __init__(self, transport: asyncio.Transport, go_on: Callable[[], None]) -> None:
        self.shut = False
        self._transport = transport
        self._go_on = go_on
        self._resting = False
        self._held = False
        self._coming = False  # `_turn` will be called
        self._paused = False  # as the transport sees it

    def close(self) -> None:
        self.shut = True
        self._apply()

    def open(self) -> None:
        self.shut = False
        if self._resting:
            self._come()
        else:
            self._apply()

    def rest(self) -> None:
        """Enough for this turn."""
        self._resting = True
        self._apply()
        self._come()

    def hold(self) -> None:
        self._held = True
        self._apply()

    def release(self) -> None:
        self._held = False
        self._apply()

    def reset(self) -> None:
        """Open, and nothing to go on with."""
        self.shut = self._resting = self._held = False
        self._apply()

    def _come(self) -> None:
        if not self._coming:
            self._coming = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._coming = False
        if self.shut or not self._resting or self._transport.is_closing():
            return
        self._resting = False
        self._go_on()
        self._apply()

    def _apply(self) -> None:
        paused = self.shut or self._resting or self._held
        if paused is self._paused or self._transport.is_closing():
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
