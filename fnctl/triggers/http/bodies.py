"""Bytes of request bodies that the gateway holds: for all clients outside, and for each instance's code inside.

What is counted: bodies that wait for their rest, and those that a request's answer needs whole, until it is given.
"""

from __future__ import annotations


class Bodies:
    """`take` and `give` in pairs. `within`: a larger whole, where what is taken here counts too."""

    __slots__ = ("_most", "_within", "held")

    def __init__(self, most: int, within: Bodies | None = None) -> None:
        self.held = 0
        self._most = most
        self._within = within

    def take(self, count: int) -> bool:
        """Counted in any case; False: that is more than may be, and the request has to be refused."""
        self.held += count
        room = self.held <= self._most
        return (self._within is None or self._within.take(count)) and room

    def give(self, count: int) -> None:
        self.held -= count
        if self._within is not None:
            self._within.give(count)
