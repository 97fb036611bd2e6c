"""The data service: tables of JSON records over HTTP, for functions that keep no state. Standard library only.

    GET    /TABLE            records as a JSON array; X-Total-Count: how many there are in all
                             ?done=false&title~=milk  filters (equal as text; contains)
                             &_sort=-created,title&_limit=20&_offset=40
    POST   /TABLE            201, the record with the id that was made for it; ids sort by time
    GET    /TABLE/ID         200 with an ETag
    PUT    /TABLE/ID         exactly these fields; 201 where it is new
    PATCH  /TABLE/ID         these fields over the record's own (first level; null stays null)
    DELETE /TABLE/ID         204
    GET    /                 health

A record is a JSON object; `id`, `created` and `updated` are the service's. Writes take `If-Match: ETAG` (412 when the
record has changed). Errors are `{"error": {"code", "message", "hint"}}`. There is no authentication: whoever reaches
the port may read and write, so the service belongs on the project's internal network and nowhere else.

This file listens, and ends well; handler.py answers, query.py says what may be asked, store.py keeps.
"""

from __future__ import annotations

import argparse
import http.client
import signal
import socket
import sqlite3
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from handler import Handler
from store import Store

MAX_CONNECTIONS = 96  # a thread each; a sandbox may have 128 processes and threads
HEALTH_S = 10.0  # for the first answer to itself
FULL_WAIT_S = 2.0  # how long a connection waits for a thread before it is told 503


class DataServer(ThreadingHTTPServer):
    """Accepts connections, at most MAX_CONNECTIONS at a time; `stop` ends it from another thread."""

    daemon_threads = False  # server_close waits for requests under way
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], store: Store) -> None:
        self.store = store
        self.stopping = False
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """As TCPServer's; HTTPServer's own would ask DNS for this machine's name, which may take seconds."""
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(timeout=FULL_WAIT_S):
            self._turn_away(request)
            return
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._open_lock:
                self._open.discard(request)
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of ours; anything else keeps its stack trace."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop accepting, let requests under way end. Call it on another thread than serve_forever's.

        `server_close` then waits for the handlers, which their timeout bounds.
        """
        self.stopping = True
        self.shutdown()
        with self._open_lock:
            for connection in self._open:  # an idle one reads end of file and leaves at once
                _shut_read(connection)

    def _turn_away(self, request: socket.socket) -> None:
        request.settimeout(0.1)
        try:
            request.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            pass  # it left before we could say so
        finally:
            self.shutdown_request(request)


def _shut_read(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        return  # closed by its own thread meanwhile


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Tables of JSON records over HTTP.")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on (default: every one)")
    parser.add_argument("--port", type=int, default=80, help="0 lets the system choose (default: 80)")
    parser.add_argument("--db", type=Path, default=Path("/data/data.db"), help="database file (default: %(default)s)")
    parser.add_argument("--ready", type=Path, help="unix socket to dial once a request was answered")
    options = parser.parse_args(arguments)
    try:
        store = Store(options.db)
        server = DataServer((options.host, options.port), store)
    except (sqlite3.Error, OSError) as error:
        sys.stderr.write(f"data service: cannot serve {options.db} on port {options.port}: {error}\n")
        return 1
    serve(server, options.ready)
    store.close()
    return 0


def serve(server: DataServer, ready: Path | None) -> None:
    """Until SIGTERM or SIGINT. Says where on standard output, so that a parent may use port 0."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    serving = threading.Thread(target=server.serve_forever, name="accept")
    serving.start()
    sys.stdout.write(f"listening on http://{server.server_name}:{server.server_port}\n")
    sys.stdout.flush()
    if ready is not None and answers(server.server_port):
        tell(ready)
    ended.wait()
    server.stop()
    serving.join()
    server.server_close()


def answers(port: int) -> bool:
    """Whether the service itself finds it in health, as a client would."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_S)
    try:
        client.request("GET", "/", headers={"Connection": "close"})
        return client.getresponse().status == 200
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"data service: does not answer itself: {error}\n")
        return False
    finally:
        client.close()


def tell(ready: Path) -> None:
    with socket.socket(socket.AF_UNIX) as host:
        try:
            host.connect(str(ready))
        except OSError as error:
            sys.stderr.write(f"data service: nobody to tell at {ready}: {error}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
