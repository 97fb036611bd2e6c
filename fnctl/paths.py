"""Where fnctl keeps things on the host. Only paths: nothing is made here but by `ensure`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def home() -> Path:
    """`$FNCTL_HOME`, else `$XDG_DATA_HOME/fnctl`, else `~/.local/share/fnctl`.

    One file system for all of it: bundles are hard-linked into slots, and a link cannot cross one.
    """
    if override := os.environ.get("FNCTL_HOME"):
        return Path(override).absolute()
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "fnctl"


def bundles() -> Path:
    return home() / "bundles"


def cache() -> Path:
    """What can be deleted at any time and is made again."""
    return home() / "cache"


@dataclass(frozen=True, slots=True)
class ProjectPaths:
    """The state of one project, by its id."""

    root: Path

    @classmethod
    def of(cls, project_id: str) -> ProjectPaths:
        return cls(home() / "projects" / project_id)

    @property
    def lock(self) -> Path:
        """Held (flock) by the one `fnctl run` of this project; holds its pid."""
        return self.root / "lock"

    @property
    def admin_socket(self) -> Path:
        """The admin API of the running service (HTTP)."""
        return self.root / "admin.sock"

    @property
    def gateway_socket(self) -> Path:
        """A door of the gateway that routes `/NAME/…` to every function, whatever its triggers."""
        return self.root / "gateway.sock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def slots(self) -> Path:
        return self.root / "slots"

    @property
    def releases(self) -> Path:
        """One JSON file a function: its current version."""
        return self.root / "releases"

    def ensure(self) -> ProjectPaths:
        """Make the folders; private to the user, since other users must not reach a slot's sockets."""
        for folder in (home(), home() / "projects", self.root, self.logs, self.slots, self.releases):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        return self
