"""How much of the loop's time the output of sandboxes may take: so much a second, in all and for each, and so much in
one turn. Counts units of work; knows nothing of lines, sockets or sandboxes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

# A line costs the loop and the log's writer some 9 µs together, 4 KiB of one about as much again (`cost`). So one
# sandbox can take a tenth of a core, all of them together a fifth, and what is held up by a turn is held up 0.3 ms.
A_SECOND = 20_000.0
A_SECOND_EACH = 10_000.0
# Saved up while there is little, or while a busy machine gives us no turn: a tenth of a second's.
SAVED, SAVED_EACH = 2000.0, 1000.0
AT_ONCE = 32  # of what one read has brought
A_MILLISECOND = 64  # of all that is read in one, whatever is saved up
TURN = 32
LEAST = 4  # of a turn, for each that waits
TURN_S = 0.002


def cost(lines: int, size: int) -> int:
    """Units of work: what reading and writing down so many lines of so many bytes in all takes."""
    return lines + size // 4096


class Allowance:
    """Grows by `a_second`, up to `most`. May be overdrawn: then it takes longer to grow again."""

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, a_second: float, most: float, now: float) -> None:
        self._rate = a_second
        self._most = self._left = most
        self._at = now

    def left(self, now: float) -> float:
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        return self._left

    def spend(self, units: float) -> None:
        self._left -= units


class Source(Protocol):
    """One stream of a sandbox's output."""

    def take(self, units: int) -> int:
        """Handle what has been read and not been handled, up to about so many units; how many it took."""
        ...

    @property
    def behind(self) -> bool:
        """There is more to handle."""
        ...

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        ...

    def resume(self) -> None: ...


class Share:
    """One sandbox's part. Its sources take turns."""

    def __init__(self, intake: Intake, own: Allowance) -> None:
        self._intake = intake
        self._own = own
        self._behind: deque[Source] = deque()

    @property
    def behind(self) -> bool:
        return bool(self._behind)

    def arrived(self, source: Source) -> None:
        """It has read something. What cannot be handled now waits, and the source is paused for as long."""
        if not self._behind:
            self._spend(source, AT_ONCE)
        if source.behind:
            source.pause()
            self._behind.append(source)
            self._intake.queue(self)

    def forget(self, source: Source) -> None:
        if source in self._behind:
            self._behind.remove(source)

    def turn(self, units: int) -> int:
        """Go on with the source whose turn it is; how many units it took."""
        if not self._behind:
            return 0
        source = self._behind.popleft()
        spent = self._spend(source, units)
        if source.behind:
            self._behind.append(source)
        else:
            source.resume()
        return spent

    def _spend(self, source: Source, most: int) -> int:
        units = min(most, int(self._own.left(self._intake.clock())), self._intake.left())
        if units <= 0:
            return 0
        spent = source.take(units)
        self._own.spend(spent)
        self._intake.spend(spent)
        return spent


class Intake:
    """All sandboxes of one run. Those that are behind take turns, so none waits for another's flood to end.

    On the event loop's thread. It has a timer only while something waits.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.longest = 0  # units in one turn, ever
        self._all = Allowance(A_SECOND, SAVED, clock())
        self._millisecond = self._spent = 0
        self._queue: deque[Share] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def share(self) -> Share:
        return Share(self, Allowance(A_SECOND_EACH, SAVED_EACH, self.clock()))

    def left(self) -> int:
        now = self.clock()
        if (millisecond := int(now * 1000)) != self._millisecond:
            self._millisecond, self._spent = millisecond, 0
        return min(int(self._all.left(now)), A_MILLISECOND - self._spent)

    def spend(self, units: int) -> None:
        self._spent += units
        self._all.spend(units)

    def queue(self, share: Share) -> None:
        if share not in self._queue:
            self._queue.append(share)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TURN_S, self._turn)

    def _turn(self) -> None:
        self._timer = None
        left, waiting = TURN, len(self._queue)
        for _ in range(waiting):
            if left <= 0:
                break
            share = self._queue.popleft()
            left -= share.turn(min(left, max(LEAST, TURN // waiting)))
            if share.behind:
                self._queue.append(share)
        self.longest = max(self.longest, TURN - left)
        if self._queue:
            self._timer = asyncio.get_running_loop().call_later(TURN_S, self._turn)
