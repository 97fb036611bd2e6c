"""One HTTP connection to the mail catcher: what was caught, and the switch of its SMTP side."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from mails import Mails


class Switch(Protocol):
    @property
    def up(self) -> bool: ...

    def switch(self, up: bool) -> None: ...


class Backend(Protocol):
    """What a connection needs of the server that accepted it."""

    mails: Mails
    smtp: Switch


class Handler(BaseHTTPRequestHandler):
    server: Backend  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"
    server_version = "fnctl-mail"
    sys_version = ""
    timeout = 5.0  # an idle connection holds a thread
    wbufsize = -1  # head and body leave in one packet

    def do_any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))  # else it were the next request's
        url = urlsplit(self.path)
        match self.command, url.path.strip("/").split("/"):
            case "GET", [""]:
                self._send(200, {"service": "mail", "smtp": "up" if self.server.smtp.up else "down"})
            case "GET", ["mails"]:
                to = parse_qs(url.query).get("to", [None])[0]
                self._send(200, self.server.mails.all(to))
            case "GET", ["mails", id]:
                raw = self.server.mails.raw(id)
                self._send(404, _refusal(f"there is no mail {id}")) if raw is None else self._send(200, raw)
            case "DELETE", ["mails"]:
                self.server.mails.clear()
                self._send(204)
            case "PUT" | "DELETE", ["down"]:
                self.server.smtp.switch(up=self.command == "DELETE")
                self._send(204)
            case _:
                self._send(404, _refusal(f"{self.command} {url.path} is nothing of the mail catcher's"))

    do_GET = do_PUT = do_DELETE = do_POST = do_any

    def _send(self, status: int, body: Any = None) -> None:
        raw = isinstance(body, bytes)
        content = b"" if body is None else body if raw else json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "message/rfc822" if raw else "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent: this log is for what goes wrong."""

    def log_error(self, format: str, *args: Any) -> None:
        """Silent: the base class reports each idle connection that it closes."""


def _refusal(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "hint": "the top of layers/mail/server.py lists what there is"}}
