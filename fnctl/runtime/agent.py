"""The host's side of the sandbox protocol (layers/PROTOCOL.md): sockets, lines, checks. Knows no pool, no function."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from fnctl.errors import ProtocolError
from fnctl.runtime.lease import DataOwner

PROTOCOL_VERSION = 1
MAX_LINE = 1 << 20  # bytes of one control line, as the protocol document says
MAX_LOG_LINE = 64 << 10  # bytes kept of one log line before it is cut
_SOCKETS = ("supervisor", "agent", "data", "log")
_UCRED = struct.Struct("3i")  # pid, uid, gid: see socket(7), SO_PEERCRED

DataFactory = Callable[[DataOwner], asyncio.Protocol]


class LinkOwner(DataOwner, Protocol):
    """Who is told what the sandbox says. All calls on the event loop's thread."""

    def said(self, role: str, message: Mapping[str, Any]) -> None:
        """A well-formed line came from `supervisor` or `agent`. Raising ProtocolError counts as a breach."""
        ...

    def hung_up(self, role: str) -> None:
        """That connection ended."""
        ...

    def breach(self, error: ProtocolError) -> None:
        """The sandbox broke the protocol; nothing more is read from it."""
        ...

    def logged(self, invocation: str | None, text: str) -> None: ...


def peer_uid(transport: asyncio.BaseTransport) -> int:
    """The uid at the other end of a unix socket, as the kernel saw it at connect."""
    return _peer(transport)[1]


def _peer(transport: asyncio.BaseTransport) -> tuple[int, int]:
    """pid and uid. The pid is as this process would see it: 0 where it cannot."""
    sock = transport.get_extra_info("socket")
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return cast(int, pid), cast(int, uid)


class Channel(asyncio.Protocol):
    """One control connection: JSON lines both ways. A second one for the same role is refused."""

    def __init__(self, link: Link, role: str) -> None:
        self._link = link
        self._role = role
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._link.adopt(self._role, self, transport):
            self._transport.abort()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if not self._deliver(line):
                return
        if len(self._buffer) > MAX_LINE:
            self._breach(f"a line of more than {MAX_LINE} bytes")

    def _deliver(self, line: bytes) -> bool:
        try:
            message = json.loads(line)
            if not isinstance(message, dict) or not isinstance(message.get("op"), str):
                raise ProtocolError("a message that is not an object with an `op`")
            self._link.owner.said(self._role, message)
        except ProtocolError as error:
            self._breach(error.message)
            return False
        except (ValueError, RecursionError):  # the latter: nested beyond what can be parsed
            self._breach("a line that is not JSON")
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
            self._transport.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


class LogPipe(asyncio.Protocol):
    """An agent's stdout and stderr: lines, each perhaps marked with its invocation."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._buffer = b""
        self._cut = False  # in the rest of a line whose head was delivered already

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if peer_uid(transport) != self._link.uid:
            cast(asyncio.Transport, transport).abort()

    def data_received(self, data: bytes) -> None:
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            self._deliver(line)
            self._cut = False
        if len(self._buffer) > MAX_LOG_LINE:
            self._deliver(self._buffer[:MAX_LOG_LINE] + " … [line cut]".encode())
            self._buffer, self._cut = b"", True

    def _deliver(self, line: bytes) -> None:
        if self._cut:
            return
        invocation: str | None = None
        if line[:1] == b"\x1e":
            mark, _, line = line[1:].partition(b"\x1f")
            invocation = mark.decode("ascii", "replace")[:64]
        self._link.owner.logged(invocation, line.decode("utf-8", "replace").rstrip("\r"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._buffer:
            self._deliver(self._buffer)
            self._buffer = b""


class Link:
    """The listening end of one slot: four sockets in its folder, at most one supervisor and one agent on them.

    `open` before the sandbox is made, `close` when it is gone. The host only ever listens here, and never opens a
    path that a sandbox could have replaced: the folder is mounted read-only inside.
    """

    def __init__(self, folder: Path, uid: int, owner: LinkOwner, data_factory: DataFactory) -> None:
        self.folder = folder
        self.uid = uid
        self.owner = owner
        self.pid = 0  # of the supervisor, here on the host; 0 where it is not known
        self._data_factory = data_factory
        self._servers: list[asyncio.AbstractServer] = []
        self._channels: dict[str, Channel] = {}
        self._closed = False

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        factories: dict[str, Callable[[], asyncio.BaseProtocol]] = {
            "supervisor": lambda: Channel(self, "supervisor"),
            "agent": lambda: Channel(self, "agent"),
            "data": lambda: self._data_factory(self.owner),
            "log": lambda: LogPipe(self),
        }
        for name in _SOCKETS:
            path = self.folder / f"{name}.sock"
            self._servers.append(await loop.create_unix_server(factories[name], str(path), backlog=256))
            # the sandbox's own uid connects; other users of this machine cannot pass the folders above (0700)
            path.chmod(0o666)

    def adopt(self, role: str, channel: Channel, transport: asyncio.BaseTransport) -> bool:
        """Take a control connection, if it is the slot's own user and the first of its role."""
        pid, uid = _peer(transport)
        if self._closed or role in self._channels or uid != self.uid:
            return False
        if role == "supervisor":
            self.pid = pid
        self._channels[role] = channel
        return True

    def lost(self, role: str, channel: Channel) -> None:
        if self._channels.get(role) is channel:
            del self._channels[role]
            self.owner.hung_up(role)

    def boot(self, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._send("supervisor", {"op": "boot", "argv": list(argv), "env": dict(env)})

    def kill(self) -> None:
        self._send("supervisor", {"op": "kill"})

    def load(self, message: Mapping[str, Any]) -> None:
        self._send("agent", {"op": "load", **message})

    def read_ahead(self) -> None:
        self._send("agent", {"op": "ahead", "folder": "/fn/ahead"})

    def dial(self, count: int) -> None:
        self._send("agent", {"op": "dial", "n": count})

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
        for name in _SOCKETS:
            with contextlib.suppress(OSError):
                (self.folder / f"{name}.sock").unlink()
