"""HTTP to one registry: connects, logs in, repeats what a busy registry refuses. What is asked for: repository.py."""

from __future__ import annotations

import contextlib
import http.client
import random
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from fnctl.errors import RegistryError
from fnctl.registry.reference import Reference
from fnctl.registry.token import Challenge, Tokens

SILENCE_S = 60.0  # a registry that takes in a layer may hash it before it answers
ATTEMPTS = 6
BACKOFF_S, LONGEST_WAIT_S = 0.5, 60.0
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_ANSWER = 4 << 20  # of a manifest, by the distribution specification
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CERTIFICATES = Path("/etc/docker/certs.d")  # where Docker looks for the authorities of one registry


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a registry is waited for. `wait` and `chance` (0 to 1) are arguments for tests."""

    attempts: int = ATTEMPTS
    silence_s: float = SILENCE_S
    wait: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def pause(self, attempt: int, retry_after: str | None) -> None:
        """Before the next attempt: what the registry asks for, else twice as long each time, and not all at once."""
        asked = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
        own = BACKOFF_S * 2**attempt * (0.5 + self.chance() / 2)
        self.wait(min(LONGEST_WAIT_S, own if asked is None else asked))


@dataclass(frozen=True, slots=True)
class Answer:
    """`body`: read whole, up to MAX_ANSWER, unless the answer is streamed. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    raw: http.client.HTTPResponse | None = field(default=None, repr=False)


class Cut(RegistryError):
    """The connection ended, or was silent, before the answer did. The registry may have done what it was asked."""

    code = "registry_unavailable"


class Wire:
    """The connection to the registry of one reference, used by one thread. `close` it."""

    def __init__(self, reference: Reference, tokens: Tokens, patience: Patience | None = None) -> None:
        self._reference = reference
        self._tokens = tokens
        self._patience = patience or Patience()
        self._scheme: str | None = None
        self._open: dict[str, http.client.HTTPConnection] = {}

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def call(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        again: bool = True,
    ) -> Answer:
        """One request and its whole answer, whatever its status but for busy ones, which are asked again. `url`: a path
        of the API, or what the registry gave as a Location. `again`: a cut connection is tried anew, too."""
        with self.stream(method, url, scope=scope, headers=headers, body=body, again=again) as answer:
            assert answer.raw is not None
            content = self._read(answer.raw, answer.url)
        return Answer(answer.status, answer.headers, content, answer.url)

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        again: bool = True,
    ) -> Iterator[Answer]:
        """As `call`, with a body that is still to be read; the connection is closed where it was not read whole."""
        answer = self._persistent(method, self.absolute(url), scope, dict(headers or {}), body, again)
        assert answer.raw is not None
        try:
            yield answer
        finally:
            if not answer.raw.isclosed():
                self._drop(answer.url)

    def absolute(self, url: str) -> str:
        """RegistryError where the registry leads to what is not encrypted, as it is itself."""
        whole = urljoin(f"{self._base()}/", url)
        if self._base().startswith("https:") and not whole.startswith("https:"):
            raise RegistryError(f"{self._reference.host} redirects to {whole[:200]}, which is not encrypted")
        return whole

    # -- one request -----------------------------------------------------------------------------------------------

    def _persistent(
        self, method: str, url: str, scope: str, headers: dict[str, str], body: bytes, again: bool
    ) -> Answer:
        last = self._patience.attempts - 1
        for attempt in range(self._patience.attempts):
            try:
                answer = self._authorised(method, url, scope, headers, body, again)
            except Cut:
                if not again or attempt == last:
                    raise
                self._patience.pause(attempt, None)
                continue
            if answer.status not in BUSY or attempt == last:
                return answer
            self._finish(answer)
            self._patience.pause(attempt, answer.headers.get("retry-after"))
        raise AssertionError("the last attempt returns or raises")

    def _authorised(
        self, method: str, url: str, scope: str, headers: dict[str, str], body: bytes, again: bool
    ) -> Answer:
        """With what was accepted before; where that is refused, with what the registry asks for."""
        known = self._tokens.known(scope)
        answer = self._followed(method, url, headers, body, known, again)
        if answer.status != 401:
            return answer
        challenge = Challenge.of(answer.headers.get("www-authenticate", ""))
        self._finish(answer)
        if challenge is None:
            return answer
        fresh = self._tokens.obtain(challenge, scope, self._ask)
        return answer if fresh is None else self._followed(method, url, headers, body, fresh, again)

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """For a token: the answer whole. The realm was checked by then."""
        for attempt in range(self._patience.attempts):
            answer = self._once(method, url, dict(headers), body)
            assert answer.raw is not None
            content = self._read(answer.raw, url)
            if answer.status not in BUSY or attempt == self._patience.attempts - 1:
                return Answer(answer.status, answer.headers, content, url)
            self._patience.pause(attempt, answer.headers.get("retry-after"))
        raise AssertionError("the last attempt returns")

    def _followed(
        self, method: str, url: str, headers: dict[str, str], body: bytes, authorization: str | None, again: bool
    ) -> Answer:
        """Through redirects, as blobs have them. Who one is, is said to the registry alone, wherever it leads."""
        home = urlsplit(self._base()).netloc
        for _ in range(MAX_REDIRECTS):
            own = urlsplit(url).netloc == home
            said = {**headers, "Authorization": authorization} if own and authorization else headers
            answer = self._once(method, url, said, body, again)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not target or method not in ("GET", "HEAD"):
                return answer
            self._finish(answer)
            moved = urljoin(url, target)
            if urlsplit(url).scheme == "https" and urlsplit(moved).scheme != "https":
                raise RegistryError(f"{url} redirects to {moved}, which is not encrypted")
            url = moved
        raise RegistryError(f"{method} {url}: too many redirects")

    def _once(self, method: str, url: str, headers: dict[str, str], body: bytes, again: bool = True) -> Answer:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"User-Agent": "fnctl", "Accept-Encoding": "identity", **headers}
        stale = again and self._key(url) in self._open  # one that was idle may have been closed meanwhile
        try:
            response = self._exchange(url, method, target, headers, body)
        except (http.client.HTTPException, OSError) as error:
            self._drop(url)
            if not (stale and isinstance(error, ConnectionError)):
                raise self._cut(method, url, error) from error
            return self._once(method, url, headers, body)
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, b"", url, response)

    def _exchange(
        self, url: str, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> http.client.HTTPResponse:
        connection = self._connection(url)
        needs_length = method in ("POST", "PUT", "PATCH")
        connection.request(method, target, body=body if body or needs_length else None, headers=headers)
        return connection.getresponse()

    def _read(self, raw: http.client.HTTPResponse, url: str) -> bytes:
        try:
            content = raw.read(MAX_ANSWER + 1)
        except (http.client.HTTPException, OSError) as error:
            self._drop(url)
            raise self._cut("reading", url, error) from error
        if len(content) > MAX_ANSWER:
            self._drop(url)
            raise RegistryError(f"{url}: the answer is larger than {MAX_ANSWER >> 20} MiB")
        return content

    def _finish(self, answer: Answer) -> None:
        """Read what is left, so that the connection can be used again."""
        assert answer.raw is not None
        with contextlib.suppress(RegistryError):
            self._read(answer.raw, answer.url)

    def _cut(self, method: str, url: str, error: Exception) -> Cut:
        parts = urlsplit(url)
        what = f"{method} {parts.scheme}://{parts.netloc}{parts.path}"
        if isinstance(error, TimeoutError):
            return Cut(
                f"{what}: no answer for {self._patience.silence_s:g} s", hint="is the registry busy, or hanging?"
            )
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = f"put its authority into {_CERTIFICATES}/{parts.netloc}/ca.crt, or into SSL_CERT_FILE"
            return Cut(f"{what}: the certificate is not trusted: {error.verify_message}", hint=hint)
        said = str(error) or type(error).__name__
        return Cut(f"{what}: {said}", hint="run it again: what has arrived whole is not sent or fetched again")

    # -- connections -----------------------------------------------------------------------------------------------

    def _base(self) -> str:
        if self._scheme is None:
            self._scheme = "http" if self._reference.is_loopback and not self._speaks_tls() else "https"
        return f"{self._scheme}://{self._reference.api_host}"

    def _speaks_tls(self) -> bool:
        """Asked of loopback alone: nothing is said without TLS elsewhere. Where nobody answers, the request tells."""
        probe = self._made(f"https://{self._reference.api_host}/")
        try:
            probe.connect()
        except ssl.SSLCertVerificationError:
            return True
        except (OSError, http.client.HTTPException):
            return False
        finally:
            probe.close()
        return True

    def _key(self, url: str) -> str:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}"

    def _connection(self, url: str) -> http.client.HTTPConnection:
        key = self._key(url)
        if key not in self._open:
            self._open[key] = self._made(url)
        return self._open[key]

    def _made(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        proxy = None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(parts.scheme)
        if self._reference.is_loopback:
            proxy = None
        where = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
        to = (where.hostname or "", where.port) if where else (host, port)
        if parts.scheme == "https":
            context = _trust(parts.netloc)
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                to[0], to[1], timeout=self._patience.silence_s, context=context
            )
        else:
            made = http.client.HTTPConnection(to[0], to[1], timeout=self._patience.silence_s)
        if where:
            made.set_tunnel(host, port)
        return made

    def _drop(self, url: str) -> None:
        if (connection := self._open.pop(self._key(url), None)) is not None:
            connection.close()


def _trust(netloc: str) -> ssl.SSLContext:
    """This machine's authorities (SSL_CERT_FILE), and those that Docker has for this registry."""
    context = ssl.create_default_context()
    for file in sorted((_CERTIFICATES / netloc).glob("*.crt")):
        with contextlib.suppress(OSError):
            context.load_verify_locations(file)
    return context
