"""Where something lies in a registry: `REGISTRY/REPOSITORY:TAG` or `REGISTRY/REPOSITORY@sha256:…`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from fnctl.errors import UsageError

DOCKER_HUB = "docker.io"
_HOST = re.compile(r"^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$")
_REPOSITORY = re.compile(r"^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
HINT = "write REGISTRY/REPOSITORY:TAG, such as registry.example.org/team/shop:1.4"


@dataclass(frozen=True, slots=True)
class Reference:
    """`tag` and `digest`: at most one is what is meant; with both, the digest."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Without tag and digest."""
        return f"{self.host}/{self.repository}"

    @property
    def target(self) -> str:
        """What stands for it in the registry's API."""
        return self.digest or self.tag or "latest"

    @property
    def api_host(self) -> str:
        """Who answers for it: Docker Hub's registry has another name than its images."""
        return "registry-1.docker.io" if self.host == DOCKER_HUB else self.host

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    def pinned(self, digest: str) -> Reference:
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        what = f"@{self.digest}" if self.digest else f":{self.tag or 'latest'}"
        return f"{self.name}{what}"


def parse(text: str) -> Reference:
    """UsageError says what is wrong with it."""
    rest, at, digest = text.partition("@")
    if at and not DIGEST.match(digest):
        raise UsageError(f"`{text}`: `{digest[:80]}` is not a digest", hint="a digest is sha256: and 64 hex digits")
    head, slash, last = rest.rpartition("/")
    name, colon, tag = last.partition(":")
    if colon and not _TAG.match(tag):
        raise UsageError(f"`{text}`: `{tag}` cannot be a tag", hint="letters, digits, `.`, `_` and `-`; at most 128")
    host, repository = _split(f"{head}{slash}{name}")
    if not _HOST.match(host):
        raise UsageError(f"`{text}`: `{host}` is not the name of a registry", hint=HINT)
    if not _REPOSITORY.match(repository) or len(repository) > 255:
        raise UsageError(f"`{text}`: `{repository}` cannot be a repository", hint=f"lower case, without spaces; {HINT}")
    return Reference(host, repository, tag or None, digest or None)


def _split(path: str) -> tuple[str, str]:
    """As Docker does: the first part is a registry where it can be no part of a repository."""
    first, slash, rest = path.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return DOCKER_HUB, path if slash else f"library/{path}"


def is_loopback(host: str) -> bool:
    """Is `HOST[:PORT]` this machine, where nobody can listen in?"""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
