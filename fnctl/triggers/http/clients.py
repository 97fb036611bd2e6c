"""How many clients may be connected: in all, and from one address. Past that, whoever waits for nothing goes first."""

from __future__ import annotations

import heapq
import ipaddress
from collections import deque
from typing import Protocol

from fnctl.triggers.http.limits import Limits

# Looking for those to end takes a millisecond for some thousand connections: so many are found at once, and ended a few
# at a time, as others come.
FOUND, ENDED = 512, 8


class Client(Protocol):
    def expendable(self) -> tuple[int, float] | None:
        """None: a request on it is being answered. Else (its kind, since when it waits): the least is ended first."""
        ...

    def abort(self) -> None: ...


class Clients:
    """All that came over TCP. `enter` and `leave` once each; those that were turned away do not leave."""

    def __init__(self, limits: Limits) -> None:
        self.most = limits.clients
        self.ended = 0  # to make room
        self.refused = 0
        self._limits = limits
        self._all: dict[Client, str] = {}
        self._by_address: dict[str, dict[Client, None]] = {}
        self._found: deque[tuple[Client, tuple[int, float]]] = deque()  # to be ended, the first first

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, client: object) -> bool:
        return client in self._all

    def enter(self, client: Client, address: str, *, trusted: bool) -> bool:
        """False: there is no room, and no one to make it. `trusted`: a proxy, which speaks for many."""
        place = whose(address)
        own = self._by_address.setdefault(place, {})
        most = self.most if trusted else self._limits.clients_from(place)
        if len(own) >= most and not self._make_room(self._worst(own, ENDED)):
            return self._refuse(place)
        if len(self._all) >= self.most and not self._make_room(self._next_found()):
            return self._refuse(place)
        self._all[client] = place
        self._by_address.setdefault(place, own)[client] = None
        return True

    def leave(self, client: Client) -> None:
        place = self._all.pop(client, None)
        if place is None:
            return
        own = self._by_address[place]
        del own[client]
        if not own:
            del self._by_address[place]

    def _refuse(self, place: str) -> bool:
        self.refused += 1
        if not self._by_address[place]:
            del self._by_address[place]
        return False

    def _make_room(self, worst: list[Client]) -> bool:
        for client in worst:
            self.leave(client)
            client.abort()
        self.ended += len(worst)
        return bool(worst)

    def _next_found(self) -> list[Client]:
        """Of those that were found once, the next that still wait as they did."""
        worst = self._still()
        if not worst:
            self._found.extend((each, rank) for each in self._worst(self._all, FOUND) if (rank := each.expendable()))
            worst = self._still()
        return worst

    def _still(self) -> list[Client]:
        worst: list[Client] = []
        while self._found and len(worst) < ENDED:
            client, rank = self._found.popleft()
            if client in self._all and client.expendable() == rank:
                worst.append(client)
        return worst

    @staticmethod
    def _worst(clients: dict[Client, None] | dict[Client, str], count: int) -> list[Client]:
        ranked = [(rank, at, client) for at, client in enumerate(clients) if (rank := client.expendable()) is not None]
        return [client for _, _, client in heapq.nsmallest(count, ranked)]


def whose(address: str) -> str:
    """An IPv6 network of one subscriber counts as one address: who has one address of it has all."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return address if parsed.is_loopback else str(ipaddress.IPv6Network((parsed, 64), strict=False))
