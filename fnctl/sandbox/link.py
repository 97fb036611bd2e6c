"""The host's side of the sandbox protocol (layers/PROTOCOL.md): sockets, lines, checks. Knows no pool, no function."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from fnctl.errors import ProtocolError
from fnctl.protocol import messages
from fnctl.protocol.messages import MAX_LINE
from fnctl.sandbox.intake import Allowance, Share
from fnctl.sandbox.output import Output, Printer
from fnctl.sandbox.placement import Link, LinkOwner

# What a sandbox may say, in units of a message or 256 bytes of one. A forking agent says something 700 times a second.
SAID_A_SECOND, SAID_AT_ONCE = 2000.0, 1000.0
SAID_A_TURN = 16
SAID_PAUSE_S = 0.002
# Connections that were turned away. A sound agent opens none; what opens them without end is to be ended.
REFUSED_A_SECOND, REFUSED_AT_ONCE = 10.0, 256.0
_SOCKETS = ("supervisor", "agent", "data", "log")
_UCRED = struct.Struct("3i")  # pid, uid, gid: see socket(7), SO_PEERCRED


def peer_uid(transport: asyncio.BaseTransport) -> int:
    """The uid at the other end of a unix socket, as the kernel saw it at connect."""
    return _peer(transport)[1]


def _peer(transport: asyncio.BaseTransport) -> tuple[int, int]:
    return _peer_of(transport.get_extra_info("socket"))


def _peer_of(sock: socket.socket) -> tuple[int, int]:
    """pid and uid. The pid is as this process would see it: 0 where it cannot."""
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return cast(int, pid), cast(int, uid)


class Channel(asyncio.Protocol):
    """One control connection: JSON lines both ways. A second one for the same role is refused."""

    def __init__(self, link: SocketLink, role: str) -> None:
        self._link = link
        self._role = role
        self._buffer = bytearray()
        self._scanned = 0  # of the buffer, known to hold no end of a line
        self._allowed = Allowance(SAID_A_SECOND, SAID_AT_ONCE, link.clock())
        self._paused = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._link.adopt(self._role, self, transport):
            self._transport.abort()
            self._transport = None
            self._link.refused()

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._buffer += data
        self._hear()

    def _hear(self) -> None:
        """A part of what was said; the rest waits, and until then nothing more is read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        behind = self._hear_some()
        if self._transport is None or transport.is_closing():
            return
        if behind:
            asyncio.get_running_loop().call_later(SAID_PAUSE_S, self._hear)
        if behind and not self._paused:
            transport.pause_reading()
        elif self._paused and not behind:
            transport.resume_reading()
        self._paused = behind

    def _hear_some(self) -> bool:
        """True: there is more."""
        units = 0
        while (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            if units >= SAID_A_TURN or self._allowed.left(self._link.clock()) <= 0:
                return True
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._scanned = 0
            spent = 1 + len(line) // 256
            units += spent
            self._allowed.spend(spent)
            if not self._deliver(line):
                return False
        self._scanned = len(self._buffer)
        if len(self._buffer) > MAX_LINE:
            self._breach(f"a line of more than {MAX_LINE} bytes")
        return False

    def _deliver(self, line: bytes) -> bool:
        try:
            self._link.owner.said(self._role, messages.decoded(line))
        except ProtocolError as error:
            self._breach(error.message)
            return False
        except Exception as error:  # whatever it was that we had not thought of
            self._breach(f"what cannot be read ({type(error).__name__})")
            return False
        return self._transport is not None

    def _breach(self, what: str) -> None:
        self.close()
        self._link.owner.breach(ProtocolError(f"the {self._role} sent {what}", code="protocol"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            self._link.lost(self._role, self)

    def send(self, message: Mapping[str, Any]) -> None:
        if self._transport is not None:
            self._transport.write(messages.encoded(message))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


class SocketLink(Link):
    """The listening end of one slot: four sockets in its folder, at most one supervisor and one agent on them.

    `open` before the sandbox is made, `close` when it is gone. The host only ever listens here, and never opens a
    path that a sandbox could have replaced: the folder is mounted read-only inside.
    """

    def __init__(
        self,
        folder: Path,
        uid: int,
        owner: LinkOwner,
        data: Callable[[], asyncio.Protocol],
        share: Share,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`data` makes the protocol of each connection to the data socket. `share`: of what reading output may take."""
        self.clock = clock
        self._output = Output(share, owner.logged, self._printer, owner.carries, self.refused)
        self._refusals = Allowance(REFUSED_A_SECOND, REFUSED_AT_ONCE, clock())
        self.folder = folder
        self.uid = uid
        self.owner = owner
        self.pid = 0  # of the supervisor, here on the host; 0 where it is not known
        self.agent_pid = 0  # of the agent that runs, likewise
        self._data = data
        self._servers: list[asyncio.AbstractServer] = []
        self._channels: dict[str, Channel] = {}
        self._awaits_agent = False  # one was booted, and has not dialled yet
        self._boots = 0
        self._printers = 0  # connections for output that the agent of this boot has made
        self._closed = False

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        factories: dict[str, Callable[[], asyncio.BaseProtocol]] = {
            "supervisor": lambda: Channel(self, "supervisor"),
            "agent": lambda: Channel(self, "agent"),
            "data": self._data,
        }
        for name in _SOCKETS:
            path = self.folder / f"{name}.sock"
            if name == "log":
                self._output.listen(path)
            else:
                made = await loop.create_unix_server(factories[name], str(path), backlog=messages.BACKLOG)
                self._servers.append(made)
            # the sandbox's own uid connects; other users of this machine cannot pass the folders above (0700)
            path.chmod(0o666)

    def adopt(self, role: str, channel: Channel, transport: asyncio.BaseTransport) -> bool:
        """Take a control connection, if it is the slot's own user and the first of its role: the one supervisor, and
        one agent a boot. Code inside finds neither role free, whatever it does to the process that had it."""
        pid, uid = _peer(transport)
        if self._closed or role in self._channels or uid != self.uid:
            return False
        if role == "supervisor":
            self.pid = pid
        elif not self._awaits_agent:
            return False
        else:
            self.agent_pid, self._awaits_agent = pid, False
        self._channels[role] = channel
        return True

    def is_agent(self, transport: asyncio.BaseTransport) -> bool:
        """Whether the agent's own process has made this connection. True where processes cannot be seen from here."""
        return _peer(transport)[0] == self.agent_pid

    def refused(self) -> None:
        """A connection was turned away, on whichever of the sockets."""
        self._refusals.spend(1)
        if self._refusals.left(self.clock()) <= 0 and not self._closed:
            self.owner.breach(ProtocolError("the sandbox opens connections without end", code="protocol"))

    def _printer(self, connection: socket.socket) -> Printer | None:
        pid, uid = _peer_of(connection)
        if uid != self.uid:
            return None
        if pid == self.pid:
            return self._boots, 0
        if pid != self.agent_pid:
            return None
        self._printers += 1
        return self._boots, self._printers

    def lost(self, role: str, channel: Channel) -> None:
        if self._channels.get(role) is channel:
            del self._channels[role]
            self.owner.hung_up(role)

    def boot(self, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        if (last := self._channels.pop("agent", None)) is not None:
            last.close()  # what it may have said is about what is gone
        self._awaits_agent = True
        self._boots += 1
        self._printers = 0
        self._send("supervisor", messages.boot(argv, env))

    def kill(self) -> None:
        self._send("supervisor", messages.kill())

    def load(self, message: Mapping[str, Any]) -> None:
        self._send("agent", message)

    def read_ahead(self) -> None:
        self._send("agent", messages.read_ahead())

    def dial(self, count: int) -> None:
        self._send("agent", messages.dial(count))

    def sleep(self) -> None:
        self._send("agent", messages.sleep())

    def stop(self) -> None:
        self._send("agent", messages.stop())

    @property
    def behind(self) -> bool:
        return self._output.behind

    @property
    def unread(self) -> bool:
        return self._output.unread

    def connected(self, role: str) -> bool:
        return role in self._channels

    def _send(self, role: str, message: Mapping[str, Any]) -> None:
        if channel := self._channels.get(role):
            channel.send(message)

    def close(self) -> None:
        """Close every connection and listener, and take the sockets away. The sandbox sees end of file and ends."""
        self._closed = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.close()
        self._output.close()
        for name in _SOCKETS:
            with contextlib.suppress(OSError):
                (self.folder / f"{name}.sock").unlink()
