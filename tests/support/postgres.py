"""A Postgres of one's own: a private cluster in a folder, on a unix socket, with a password, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.waiting import until

PASSWORD = "s3cr3t/with@signs"
URL_PASSWORD = "s3cr3t%2Fwith%40signs"  # as a URL has it


class Cluster:
    """`fsync` off: what is asked here is how processes share it, not what a power cut leaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgres://fn:{URL_PASSWORD}@/postgres?host={self.folder}"

    def start(self) -> None:
        command = [_program("postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), "-h", "", "-F"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **_user())
        until(self._answers, "the cluster")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()
            return False
        return True

    def stop(self, how: str = "INT") -> None:
        """`INT` ends all connections at once, and is clean."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal({"INT": 2, "QUIT": 3}[how])
            process.wait(30)


@contextmanager
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path has to be short
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    made = Cluster(folder)
    try:
        command = [_program("initdb"), "-D", str(folder / "data"), "-U", "fn", "--pwfile", str(secret)]
        command += ["--auth", "scram-sha-256", "--no-sync", "--locale", "C", "--encoding", "UTF8"]
        subprocess.run(command, check=True, capture_output=True, timeout=120, **_user())
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    assert found, f"no {name}: `make test-setup` installs it"
    return str(found[-1])


def _user() -> dict[str, Any]:
    """Postgres does not run as root."""
    if os.getuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "cwd": pwd.getpwnam("postgres").pw_dir}
