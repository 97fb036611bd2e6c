"""Certificate authorities for a function: those that this machine trusts, and one of its own. Where programs look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

HOST = "host"  # the word for: those of this machine alone
NAME = ".ca.pem"  # among the function's secrets; no secret of a user can be called so
INSIDE = f"/run/secrets/{NAME}"

# OpenSSL and what uses it (Python, Go, Ruby, curl by its own name), Requests, Node, git.
VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")
_SYSTEM = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def told(environment: Mapping[str, str], more: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The variables of a function with those that say where its authorities are, unless it sets them itself. `more`:
    what its runtime reads beside them, as lists, to which the function may add."""
    lists = {name: environment.get(name, "") + value for name, value in more}
    return {**dict.fromkeys(VARIABLES, INSIDE), **environment, **lists}


def bundle(own: Path | None, environ: Mapping[str, str]) -> bytes:
    """One file of all: the system's, those that the environment's variables name, as a build has them, and `own`.

    OSError where `own` cannot be read; others that cannot are left out.
    """
    system = next((path for path in _SYSTEM if Path(path).is_file()), None)
    named = dict.fromkeys([*([system] if system else []), *(environ[name] for name in VARIABLES if environ.get(name))])
    contents = [_content(Path(path)) for path in named] + ([own.read_bytes()] if own is not None else [])
    return b"\n".join(dict.fromkeys(content.strip() for content in contents if content)) + b"\n"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
