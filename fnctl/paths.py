"""Where fnctl keeps things on the host. Only paths: nothing is made here but by `ensure`."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fnctl.errors import UsageError


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """`$FNCTL_HOME`, else `$XDG_DATA_HOME/fnctl`, else `~/.local/share/fnctl`.

    One file system for all of it: bundles are hard-linked into slots, and a link cannot cross one.
    """
    if override := environ.get("FNCTL_HOME"):
        return Path(override).absolute()
    data = environ.get("XDG_DATA_HOME") or f"{environ.get('HOME') or Path.home()}/.local/share"
    return Path(data) / "fnctl"


def home_id() -> str:
    """12 hex digits that this home, and no other, has: names and labels of what it makes on an engine carry them.

    Kept in a file, made on the first call: a path would not do, since containers and users that share an engine have
    homes at the same one.
    """
    file = home() / "id"
    with contextlib.suppress(FileNotFoundError):
        return file.read_text().strip()
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f".id-{os.getpid()}")
    fresh.write_text(secrets.token_hex(6))
    with contextlib.suppress(FileExistsError):  # another process was first
        os.link(fresh, file)
    fresh.unlink()
    return file.read_text().strip()


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
        """A socket of the gateway that routes `/NAME/…` to every function, whatever its triggers."""
        return self.root / "gateway.sock"

    @property
    def nonces(self) -> Path:
        """The nonces of signed requests that were used in the last minutes."""
        return self.root / "nonces"

    @property
    def keys(self) -> Path:
        """The keys of those who call the functions."""
        return self.root / "keys.json"

    @property
    def store(self) -> Path:
        """Calls that wait, timers and what else must outlive a run."""
        return self.root / "store.db"

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

    @property
    def versions(self) -> Path:
        """The versions of a release that were served from its folder."""
        return self.root / "versions.json"

    def ensure(self) -> ProjectPaths:
        """Make the folders; private to the user, since other users must not reach a slot's sockets. UsageError where
        that cannot be."""
        try:
            for folder in (home(), home() / "projects", self.root, self.logs, self.slots, self.releases):
                if folder == self.slots and folder.is_symlink():
                    continue  # whose folder may be gone: control/slots_folder.py sees to it
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise no_home(error) from error
        return self


def no_home(error: OSError) -> UsageError:
    """Why fnctl's data cannot be where it is to be."""
    where = f" ({error.filename})" if error.filename and str(error.filename) != str(home()) else ""
    return UsageError(
        f"cannot keep data in {home()}: {error.strerror or error}{where}",
        hint="set FNCTL_HOME to a folder on a local disk that you can write to",
    )
