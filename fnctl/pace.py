"""How much slower than a usual machine this one is: what the deadlines of the host's side are multiplied by. Pure."""

from __future__ import annotations

USUAL = 1.0
SLOWEST = 32.0  # emulated, on a small board, beside other work: past this something is broken, not slow
# A start may take a third of its deadline before that is moved: what comes next may be as slow again, and again.
ROOM = 3


class Pace:
    """A factor that is measured once (control/pacing.py) and grows with what is seen. It bounds nothing of a user's
    own: a function's `timeout` means what it says."""

    def __init__(self, factor: float = USUAL) -> None:
        self.factor = factor

    def deadline(self, usual_s: float) -> float:
        """What would have `usual_s` on a usual machine."""
        return usual_s * self.factor

    def took(self, took_s: float, usual_s: float) -> None:
        """Something with that deadline was done in time: was it so slow that the next one may not be?"""
        self.factor = min(SLOWEST, max(self.factor, took_s * ROOM / usual_s))

    def missed(self) -> bool:
        """A deadline was not kept: the next one is twice as long. False: it is as long as it gets."""
        before, self.factor = self.factor, min(SLOWEST, self.factor * 2)
        return self.factor > before

    def hint(self) -> str:
        slower = f"{self.factor:.3g} times the usual" if self.factor > USUAL else "the usual"
        return f"deadlines here are {slower}, as this machine was measured; `fnctl setup` measures it again"
