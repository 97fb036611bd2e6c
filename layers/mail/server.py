"""The mail catcher: takes every mail over SMTP, keeps it, delivers none, and shows all over HTTP. For development.

    SMTP                     any sender, any recipient, no authentication, no TLS; by aiosmtpd
    GET    /mails            as a JSON array, the newest first: id, received, from, to, subject, text
                             ?to=ADDRESS  those to this recipient
    GET    /mails/ID         one, as it came (message/rfc822)
    DELETE /mails            204; all are removed
    PUT    /down             204; SMTP refuses connections, as a mail server does that is down
    DELETE /down             204; it takes them again
    GET    /                 health; `smtp`: up or down

This file listens, and ends well; mails.py keeps, handler.py answers over HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session
from handler import Handler
from mails import Mails

MAX_BYTES = 10 * 1024 * 1024  # of a mail


class Taker:
    """What aiosmtpd calls for each mail. Its answer is the line for the client."""

    def __init__(self, mails: Mails) -> None:
        self._mails = mails

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        try:
            id = self._mails.keep(envelope.mail_from or "", envelope.rcpt_tos, envelope.content or b"")
        except OSError as error:
            sys.stderr.write(f"mail catcher: cannot keep a mail: {error}\n")
            return "452 4.3.1 The mail cannot be kept"
        return f"250 2.0.0 Kept as {id}"


class Smtp:
    """The SMTP side, on the loop of `serve`: listens, or does not. `up` may be asked, and set, by any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, mails: Mails) -> None:
        self._loop, self._port, self._mails = loop, port, mails
        self._server: asyncio.Server | None = None

    @property
    def up(self) -> bool:
        return self._server is not None

    def switch(self, up: bool) -> None:
        """From another thread than the loop's; returns when it is so."""
        asyncio.run_coroutine_threadsafe(self.listen() if up else self.refuse(), self._loop).result(10)

    async def listen(self) -> None:
        if self._server is None:
            self._server = await self._loop.create_server(self._connection, "0.0.0.0", self._port)

    async def refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _connection(self) -> SMTP:
        return SMTP(
            Taker(self._mails), hostname="mail", data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, loop=self._loop
        )


class Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, mails: Mails, smtp: Smtp) -> None:
        self.mails, self.smtp = mails, smtp
        super().__init__(("0.0.0.0", port), Handler)


async def serve(options: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    mails = Mails(options.keep)
    smtp = Smtp(loop, options.smtp, mails)
    await smtp.listen()
    http = Http(options.http, mails, smtp)
    threading.Thread(target=http.serve_forever, name="http", daemon=True).start()
    sys.stdout.write(f"listening for SMTP on port {options.smtp}, for HTTP on port {http.server_port}\n")
    sys.stdout.flush()
    if options.ready is not None:
        tell(options.ready)
    await ended.wait()
    http.shutdown()
    await smtp.refuse()


def tell(ready: Path) -> None:
    with socket.socket(socket.AF_UNIX) as host:
        try:
            host.connect(str(ready))
        except OSError as error:
            sys.stderr.write(f"mail catcher: nobody to tell at {ready}: {error}\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Takes every mail, delivers none, and shows all.")
    parser.add_argument("--smtp", type=int, default=25, help="port for SMTP (default: 25)")
    parser.add_argument("--http", type=int, default=80, help="port for HTTP (default: 80)")
    parser.add_argument("--keep", type=Path, default=Path("/mails"), help="folder for mails (default: /mails)")
    parser.add_argument("--ready", type=Path, help="unix socket to dial once both ports are listened on")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(serve(options))
    except OSError as error:
        sys.stderr.write(f"mail catcher: cannot serve: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
