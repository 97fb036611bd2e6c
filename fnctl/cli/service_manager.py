"""What systemd is told of the service that it started: sd_notify(3). Nothing where it was not systemd that did."""

from __future__ import annotations

import contextlib
import os
import socket


def tell(state: str) -> None:
    """Best effort: a service that cannot tell it serves all the same."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaking:
        speaking.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        speaking.send(state.encode())
