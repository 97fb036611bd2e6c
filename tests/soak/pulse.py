"""How long one turn of the running loop was at most, in processor time: a busy machine lets time pass, and no work."""

from __future__ import annotations

import asyncio
import time

BEAT_S = 0.01
MOST_S = 1.0


class Pulse:
    def __init__(self) -> None:
        self.longest_s = 0.0
        self._at = time.process_time()
        self._beat()

    def _beat(self) -> None:
        now = time.process_time()
        self.longest_s, self._at = max(self.longest_s, now - self._at), now
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def stop(self) -> float:
        self._timer.cancel()
        return round(self.longest_s, 3)
