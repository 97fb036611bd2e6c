"""One connection to the data service: reads requests, answers from the store, writes replies. Not the listening."""

from __future__ import annotations

import json
import re
import sqlite3
import traceback
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from query import ListQuery, Refused, check_id, check_table, parse_query, parse_record
from store import Conflict, Record, Store

MAX_BODY_BYTES = 1024 * 1024
MAX_DISCARD_BYTES = 8 * MAX_BODY_BYTES  # read and dropped, so that the client gets to read why it was refused
IDLE_TIMEOUT_S = 5.0  # an idle connection holds a thread; long enough for a client to reuse it

Reply = tuple[int, Any, dict[str, str]]  # status, JSON value or None, headers


class Backend(Protocol):
    """What a connection needs of the server that accepted it."""

    store: Store
    stopping: bool  # connections close after the reply under way


class Handler(BaseHTTPRequestHandler):
    """One connection, on a thread of its own."""

    server: Backend  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"
    server_version = "fnctl-data"
    sys_version = ""
    timeout = IDLE_TIMEOUT_S
    wbufsize = -1  # head and body leave in one packet
    disable_nagle_algorithm = True

    def do_any(self) -> None:
        self._send(*self._reply())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_any

    def _reply(self) -> Reply:
        """The request's root: every failure but the connection's own becomes an answer."""
        try:
            return self._answer(self._body())
        except Refused as refusal:
            return _refusal(refusal)
        except Conflict as conflict:
            return _refusal(_precondition(conflict))
        except OSError:
            raise  # the connection: there is nobody to answer
        except Exception as error:
            self.log_message("%s %s\n%s", self.command, self.path, traceback.format_exc())
            return _refusal(_failure(error))

    def _answer(self, raw: bytes) -> Reply:
        names, query = _target(self.path)
        method = "GET" if self.command == "HEAD" else self.command
        match names:
            case []:
                return self._health(method)
            case [table]:
                return self._table(method, check_table(table), query, raw)
            case [table, record_id]:
                return self._record(method, check_table(table), check_id(record_id), raw)
        raise Refused(404, "not_found", f"there is nothing at {self.path[:200]}", "paths are /TABLE and /TABLE/ID")

    def _health(self, method: str) -> Reply:
        if method != "GET":
            raise _not_allowed(method, "GET, HEAD")
        self.server.store.check()
        return 200, {"service": "data", "status": "ok"}, {}

    def _table(self, method: str, table: str, query: str, raw: bytes) -> Reply:
        if method == "GET":
            records, total = self.server.store.list(table, _list_query(query))
            return 200, [record.document() for record in records], {"X-Total-Count": str(total)}
        if method == "POST":
            record = self.server.store.insert(table, self._fields(raw))
            return 201, record.document(), {"Location": f"/{table}/{record.id}", "ETag": _etag(record)}
        raise _not_allowed(method, "GET, HEAD, POST")

    def _record(self, method: str, table: str, record_id: str, raw: bytes) -> Reply:
        store, expected = self.server.store, _expected(self.headers.get("If-Match"))
        match method:
            case "GET":
                return _found(store.get(table, record_id), table, record_id)
            case "PUT":
                record, new = store.replace(table, record_id, self._fields(raw), expected)
                return 201 if new else 200, record.document(), {"ETag": _etag(record)}
            case "PATCH":
                return _found(store.merge(table, record_id, self._fields(raw), expected), table, record_id)
            case "DELETE":
                return (204, None, {}) if store.delete(table, record_id, expected) else _found(None, table, record_id)
        raise _not_allowed(method, "GET, HEAD, PUT, PATCH, DELETE")

    def _fields(self, raw: bytes) -> dict[str, Any]:
        kind = self.headers.get_content_type() if "Content-Type" in self.headers else "none"
        if kind != "application/json" and not kind.endswith("+json"):
            message = f"content type {kind} cannot be stored"
            raise Refused(415, "bad_content_type", message, "send JSON with Content-Type: application/json")
        return parse_record(raw)

    def _body(self) -> bytes:
        """The whole body, of any method: what is left unread would be taken for the next request."""
        keep, self.close_connection = self.close_connection, True  # unless all is well
        if "Transfer-Encoding" in self.headers:
            raise Refused(411, "length_required", "the body has no length", "send Content-Length, not chunks")
        lengths = self.headers.get_all("Content-Length") or ["0"]
        if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,15}", lengths[0]):
            raise Refused(400, "bad_length", f"Content-Length is {', '.join(lengths)[:40]!r}", "send one whole number")
        length = int(lengths[0])
        if length > MAX_BODY_BYTES:
            self._discard(length)
            hint = f"a record has at most {MAX_BODY_BYTES} bytes"
            raise Refused(413, "too_large", f"the body has {length} bytes", hint)
        raw = self.rfile.read(length)
        if len(raw) < length:
            raise Refused(400, "bad_length", "the body ended early", "send as many bytes as Content-Length says")
        self.close_connection = keep
        return raw

    def _discard(self, length: int) -> None:
        """Closing with bytes unread resets the connection, and the reply with it."""
        left = min(length, MAX_DISCARD_BYTES)
        while left > 0 and (chunk := self.rfile.read(min(left, 65536))):
            left -= len(chunk)

    def _send(self, status: int, body: Any, headers: dict[str, str]) -> None:
        # A lone surrogate is legal as a JSON escape only: it goes out as it came in.
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        if self.server.stopping or self.close_connection:
            self.send_header("Connection", "close")  # also ends this handler's loop
        else:
            self.send_header("Keep-Alive", f"timeout={IDLE_TIMEOUT_S:.0f}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The base class's refusals (malformed head, a method nobody knows), in our own form."""
        self.close_connection = True
        refusal = Refused(code, "bad_request", message or "the request cannot be read", "send plain HTTP/1.1")
        self._send(*_refusal(_not_allowed(self.command or "", "GET, HEAD") if code == 501 else refusal))

    def handle_expect_100(self) -> bool:
        """The client waits for this line: it cannot stay in the buffer."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent: the functions' own receipts tell of traffic; this log is for what goes wrong."""

    def log_error(self, format: str, *args: Any) -> None:
        """Silent: the base class reports each idle connection that it closes."""


def _target(path: str) -> tuple[list[str], str]:
    """The path's decoded names, and the query string."""
    try:
        url = urlsplit(path)
    except ValueError:
        raise Refused(400, "bad_request", "the address cannot be read", "paths are /TABLE and /TABLE/ID") from None
    trimmed = url.path.strip("/")
    return [unquote(part) for part in trimmed.split("/")] if trimmed else [], url.query


def _list_query(query: str) -> ListQuery:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=64)
    except ValueError:
        raise Refused(400, "bad_query", "the query has too many parameters", "use at most 64") from None
    return parse_query(pairs)


def _found(record: Record | None, table: str, record_id: str) -> Reply:
    if record is None:
        raise Refused(404, "not_found", f"{table} has no record {record_id}", f"GET /{table} lists what there is")
    return 200, record.document(), {"ETag": _etag(record)}


def _refusal(refusal: Refused) -> Reply:
    body = {"error": {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}}
    return refusal.status, body, {"Allow": refusal.allow} if refusal.allow else {}


def _not_allowed(method: str, allow: str) -> Refused:
    return Refused(405, "method_not_allowed", f"{method} cannot be done here", f"use {allow}", allow)


def _precondition(conflict: Conflict) -> Refused:
    found = "there is no such record" if conflict.found is None else f'it is at "{conflict.found}"'
    return Refused(412, "changed", f"the record is not the one of If-Match: {found}", "read it again, then write")


def _failure(error: Exception) -> Refused:
    if not isinstance(error, sqlite3.Error):
        return Refused(500, "internal", "the data service failed", "its log has the details")
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_FULL"):
        return Refused(507, "storage_full", "the disk is full", "free some space in the service's volume")
    return Refused(503, "storage", f"the database cannot be used: {error}", "the service's log has the details")


def _etag(record: Record) -> str:
    return f'"{record.revision}"'


def _expected(if_match: str | None) -> int | None:
    """The revision that a writer insists on; None for any."""
    if if_match is None:
        return None
    match = re.fullmatch(r'"([0-9]{1,15})"', if_match.strip())
    if not match:
        raise Refused(400, "bad_etag", f"If-Match is {if_match[:40]!r}", "send the ETag of the record as it came")
    return int(match[1])
