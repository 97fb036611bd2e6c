"""What a sandbox can talk to."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Network(enum.StrEnum):
    NONE = "none"
    SERVICES = "services"
    EGRESS = "egress"


class Egress(NamedTuple):
    """What a function with `network: egress` can reach beside the services and the world. Both are refused unless the
    project says otherwise: they are how code inside gets at what the machine keeps to itself."""

    host: bool = False  # the machine's own addresses, and so whatever listens there
    link_local: bool = False  # 169.254.0.0/16 and fe80::/10: where clouds give out credentials


NO_MORE = Egress()


class Reach(NamedTuple):
    """What a sandbox can talk to. It is made with that and keeps it: code runs in none whose reach is not its own."""

    network: Network = Network.NONE
    egress: Egress = NO_MORE

    def __str__(self) -> str:
        allowed = [name for name, on in self.egress._asdict().items() if on]
        return "+".join([str(self.network), *allowed])


ALONE = Reach()  # loopback and nothing else
