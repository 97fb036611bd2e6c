"""A registry in this process, in memory, that does what registries do on a bad day: by a script of faults."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(slots=True)
class Fault:
    """Happens to the next `times` requests of this method whose path holds `path`.

    `status`: answered in place of doing anything. `cut_in`: the connection ends when so many bytes of the request's
    body are in (they count). `cut_out`: it ends after so many bytes of the answer's body. `after`: it ends when all is
    done, before the answer. `hang`: no answer until the client has gone."""

    method: str
    path: str = ""
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_in: int | None = None
    cut_out: int | None = None
    after: bool = False
    hang: bool = False


@dataclass(slots=True)
class Registry:
    """What it holds. `login`: user and password that a token is given for; None: it asks for none."""

    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by repository, by digest
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # "repository:target"
    uploads: dict[str, bytearray] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # "METHOD path", as they came
    received: int = 0  # bytes of bodies
    login: tuple[str, str] | None = None
    basic: bool = False  # it wants the login itself, and no token
    tokens: int = 0
    elsewhere: str = ""  # where blobs are given out: a redirect
    no_chunks: bool = False
    has_referrers: bool = False  # the API for what refers to a manifest
    authorizations: list[str | None] = field(default_factory=list)
    address: str = ""

    def of(self, repository: str) -> dict[str, bytes]:
        return self.blobs.setdefault(repository, {})

    def fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method and fault.path in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""

    def _do(self) -> None:
        held = self.registry
        held.asked.append(f"{self.command} {self.path}")
        held.authorizations.append(self.headers.get("Authorization"))
        fault = held.fault(self.command, self.path)
        if fault is not None and fault.hang:
            self.connection.settimeout(30)
            with contextlib.suppress(OSError):
                while self.connection.recv(1 << 16):
                    pass
            self.close_connection = True
            return
        body = self._body(fault)
        if body is None:
            return
        if fault is not None and fault.status:
            self._answer(fault.status, fault.headers, fault.body)
            return
        if not self._is_known():
            return
        status, headers, content = self._act(body)
        if fault is not None and fault.after:
            self._end()
            return
        cut = fault.cut_out if fault is not None else None
        self._answer(status, headers, content, cut)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _do

    def _body(self, fault: Fault | None) -> bytes | None:
        length = int(self.headers.get("Content-Length") or 0)
        if fault is None or fault.cut_in is None:
            body = self.rfile.read(length)
            self.registry.received += len(body)
            return body
        got = self.rfile.read(min(length, fault.cut_in))
        self.registry.received += len(got)
        session = urlsplit(self.path).path
        if self.command == "PATCH" and session in self.registry.uploads:
            self.registry.uploads[session] += got
        self._end()
        return None

    def _end(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _is_known(self) -> bool:
        held = self.registry
        if held.login is None or self.path.startswith("/token"):
            return True
        said = self.headers.get("Authorization", "")
        if (held.basic and said.startswith("Basic ")) or (not held.basic and said == f"Bearer t{held.tokens}"):
            return True
        how = 'Basic realm="r"' if held.basic else f'Bearer realm="http://{held.address}/token",service="s"'
        self._answer(401, {"WWW-Authenticate": how}, b'{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}')
        return False

    def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self._end()

    # -- what a registry does --------------------------------------------------------------------------------------

    def _act(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            self.registry.tokens += 1
            return 200, {}, json.dumps({"token": f"t{self.registry.tokens}"}).encode()
        repository, _, rest = parts.path.removeprefix("/v2/").partition("/blobs/")
        if rest.startswith("uploads/"):
            return self._upload(repository, parts.path, query, body)
        if rest:
            return self._blob(repository, rest)
        repository, _, target = parts.path.removeprefix("/v2/").partition("/manifests/")
        if target:
            return self._manifest(repository, target, body)
        repository, _, digest = parts.path.removeprefix("/v2/").partition("/referrers/")
        if digest and self.registry.has_referrers:
            return self._referrers(repository, digest)
        return 404, {}, b""

    def _upload(
        self, repository: str, path: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        held = self.registry
        if self.command == "POST":
            wanted = query.get("mount", "")
            if wanted in held.blobs.get(query.get("from", ""), {}):
                held.of(repository)[wanted] = held.blobs[query["from"]][wanted]
                return 201, {"Docker-Content-Digest": wanted}, b""
            session = f"/v2/{repository}/blobs/uploads/{len(held.asked)}"
            held.uploads[session] = bytearray()
            return 202, {"Location": f"{session}?_state=x"}, b""
        if path not in held.uploads:
            return 404, {}, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'
        at = held.uploads[path]
        if self.command == "PATCH":
            if held.no_chunks:
                return 405, {}, b'{"errors":[{"code":"UNSUPPORTED"}]}'
            if self.headers.get("Content-Range", "0-").partition("-")[0] != str(len(at)):
                return 416, {"Range": f"0-{max(0, len(at) - 1)}"}, b""
            at += body
        told = {"Location": f"{path}?_state=x", "Range": f"0-{max(0, len(at) - 1)}"}
        if self.command in ("PATCH", "GET"):
            return (202 if self.command == "PATCH" else 204), told, b""
        at += body
        found = f"sha256:{hashlib.sha256(at).hexdigest()}"
        if found != query.get("digest"):
            return 400, {}, b'{"errors":[{"code":"DIGEST_INVALID","message":"not that"}]}'
        held.of(repository)[found] = bytes(held.uploads.pop(path))
        return 201, {"Docker-Content-Digest": found}, b""

    def _blob(self, repository: str, digest: str) -> tuple[int, dict[str, str], bytes]:
        if self.registry.elsewhere and self.command == "GET":
            return 307, {"Location": f"{self.registry.elsewhere}/v2/{repository}/blobs/{digest}"}, b""
        content = self.registry.of(repository).get(digest)
        if content is None:
            return 404, {}, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}'
        at = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        return (206 if at else 200), {}, content[at:]

    def _manifest(self, repository: str, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        held = self.registry.manifests
        if self.command == "PUT":
            kind = self.headers.get("Content-Type", "")
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            for name in (target, digest):
                held[f"{repository}:{name}"] = (kind, body)
            subject = (json.loads(body).get("subject") or {}).get("digest")
            told = {"OCI-Subject": subject} if subject and self.registry.has_referrers else {}
            return 201, {"Docker-Content-Digest": digest, **told}, b""
        found = held.get(f"{repository}:{target}")
        if found is None:
            return 404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        return 200, {"Content-Type": found[0]}, found[1]

    def _referrers(self, repository: str, subject: str) -> tuple[int, dict[str, str], bytes]:
        found = {}
        for name, (kind, content) in self.registry.manifests.items():
            said = json.loads(content)
            if name.startswith(f"{repository}:") and (said.get("subject") or {}).get("digest") == subject:
                digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
                entry = {"mediaType": kind, "digest": digest, "size": len(content)}
                found[digest] = {**entry, "artifactType": said.get("artifactType")}
        index = "application/vnd.oci.image.index.v1+json"
        listing = {"schemaVersion": 2, "mediaType": index, "manifests": list(found.values())}
        return 200, {"Content-Type": index}, json.dumps(listing).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or spoke TLS to it."""


@contextlib.contextmanager
def serving(registry: Registry | None = None) -> Iterator[Registry]:
    """On a free port of loopback, until the block ends."""
    held = registry or Registry()
    handler = type("Handler", (_Handler,), {"registry": held})
    with _Server(("127.0.0.1", 0), handler) as server:
        held.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
        thread.start()
        try:
            yield held
        finally:
            server.shutdown()
            thread.join()
