"""Listening sockets that were opened before this process began: by systemd, or by the fnctl that it takes over from.

Both hand them over in the same way, that of sd_listen_fds(3): descriptors from 3 up, told in LISTEN_FDS, LISTEN_PID and
LISTEN_FDNAMES. Who takes over gets one more, which holds the project's lock. Nothing is opened or listened on here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from fnctl.errors import FnctlError, UsageError

FIRST = 3
LOCK, LISTENER = "fnctl-lock", "fnctl-http"
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_ASIDE = 64  # at least: where descriptors wait, out of the way of those that they will be


@dataclass(frozen=True, slots=True)
class Given:
    """`lock`: a descriptor that holds the project's lock. Who has it takes over from a fnctl that has just ended."""

    listeners: tuple[socket.socket, ...] = ()
    lock: int | None = None

    @property
    def taken_over(self) -> bool:
        return self.lock is not None

    @property
    def address(self) -> tuple[str, int]:
        """Where others find it: of several, one that is not on loopback, where there is one."""
        names = [each.getsockname()[:2] for each in self.listeners]
        host, port = next((name for name in names if not is_loopback(name[0])), names[0])
        return str(host), int(port)


def is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def described(environ: Mapping[str, str], pid: int) -> dict[int, str]:
    """The descriptors that are for the process `pid`, each with its name. UsageError where they are not described as
    sd_listen_fds(3) says."""
    if environ.get("LISTEN_PID") != str(pid) or "LISTEN_FDS" not in environ:
        return {}
    count, names = environ["LISTEN_FDS"], environ.get("LISTEN_FDNAMES", "").split(":")
    if not (count.isascii() and count.isdigit() and len(count) < 4):
        raise UsageError(f"LISTEN_FDS is `{count[:20]}`, not a number of sockets", hint="unset LISTEN_FDS")
    numbers = range(FIRST, FIRST + int(count))
    return {number: names[at] if at < len(names) else "" for at, number in enumerate(numbers)}


def taken(environ: MutableMapping[str, str] = os.environ) -> Given:
    """What this process was given. From now on no child inherits it, nor finds it in its environment. UsageError for
    what is not a listening TCP socket."""
    there = described(environ, os.getpid())
    for variable in _VARIABLES:
        environ.pop(variable, None)
    for number in there:
        _not_inherited(number)
    locks = [number for number, name in there.items() if name == LOCK]
    return Given(
        tuple(_listener(number) for number in there if number not in locks),
        locks[0] if locks else None,
    )


def _not_inherited(number: int) -> None:
    try:
        os.set_inheritable(number, False)
    except OSError as error:
        hint = "unset LISTEN_FDS and LISTEN_PID"
        raise UsageError(f"LISTEN_FDS names the descriptor {number}, which is not open", hint=hint) from error


def _listener(number: int) -> socket.socket:
    try:
        found = socket.socket(fileno=number)
    except OSError as error:
        raise _unfit(number) from error
    tcp = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    if not (tcp and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
        found.detach()
        raise _unfit(number)
    found.setblocking(False)
    return found


def _unfit(number: int) -> UsageError:
    return UsageError(
        f"the descriptor {number} that this process was given (LISTEN_FDS) is not a listening TCP socket",
        hint="in the .socket unit, use ListenStream=ADDRESS:PORT, and not Accept=yes",
    )


def environment(environ: Mapping[str, str], listeners: int, pid: int) -> dict[str, str]:
    """What tells the process `pid` that it has so many listeners, and the lock behind them."""
    names = [LISTENER] * listeners + [LOCK]
    told = {"LISTEN_PID": str(pid), "LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}
    return {**environ, **told}


def become(program: Sequence[str], listeners: Sequence[socket.socket], lock: int) -> NoReturn:
    """Go on as another program, in this process: its pid, its listeners, its lock. FnctlError where that is none."""
    if not os.access(program[0], os.X_OK):
        raise FnctlError(f"cannot go on as {program[0]}: it is not an executable file")
    import fcntl

    held = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _ASIDE) for each in (*(one.fileno() for one in listeners), lock)]
    for at, each in enumerate(held):
        os.dup2(each, FIRST + at)
    os.execve(program[0], list(program), environment(os.environ, len(listeners), os.getpid()))
