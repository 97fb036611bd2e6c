"""A Docker Engine of one's own, to stop and restart: its own data, its own socket, no network of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.command import docker
from tests.support.waiting import until


class PrivateEngine:
    """start → stop or freeze → start again, as often as one likes. The data stays in between."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"unix://{self.root}/docker.sock"

    def start(self) -> None:
        words = [
            # a network namespace of its own: an engine without a bridge removes docker0 where it finds one
            "unshare", "--net", "dockerd", "--data-root", "data", "--exec-root", "exec", "--pidfile", "pid",
            "--host", self.host, "--iptables=false", "--bridge=none", "--shutdown-timeout", "2",
        ]  # fmt: skip
        words = [str(self.root / word) if word in ("data", "exec", "pid") else word for word in words]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        until(self._answers, "the private engine to answer", 60)

    def _answers(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            return bool(docker("version", "--format", "{{.Server.Version}}", DOCKER_HOST=self.host))
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "log").read_text()[-2000:]
        return False

    def stop(self) -> None:
        """As an upgrade does it: containers end with their engine."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def freeze(self) -> None:
        """It neither answers nor refuses."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def take_images(self, *images: str) -> None:
        """From the default engine: this one has no network to make them with."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as save:
            environment = {**os.environ, "DOCKER_HOST": self.host}
            subprocess.run(["docker", "load", "-q"], stdin=save.stdout, env=environment, check=True, timeout=300)
        assert save.returncode == 0


@contextlib.contextmanager
def private_engine() -> Iterator[PrivateEngine]:
    with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as folder:
        engine = PrivateEngine(Path(folder))
        engine.start()
        try:
            yield engine
        finally:
            engine.stop()
