"""A container under plain `docker run`, whose server is asked over the port that Docker publishes."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
from dataclasses import dataclass

from tests.support.command import COMMAND_S, docker
from tests.support.waiting import until

ASK_S = 20.0


@dataclass(frozen=True, slots=True)
class Container:
    name: str

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """The first answer, as soon as the server is up."""
        address = docker("port", self.name, "9000/tcp").splitlines()[0]

        def answer() -> tuple[int, bytes] | None:
            client = http.client.HTTPConnection(address, timeout=ASK_S)
            with contextlib.closing(client), contextlib.suppress(ConnectionError, http.client.HTTPException):
                client.request(method, path, body=body, headers={"Content-Type": "application/json"})
                response = client.getresponse()
                return response.status, response.read()
            return None

        try:
            return until(answer, f"{self.name} to answer")
        except AssertionError as late:
            raise AssertionError(f"{late}; it said:\n{self.logs()}") from None

    def logs(self) -> str:
        """Both of its outputs, as far as the engine has them by now: what was just printed may not be there yet."""
        said = subprocess.run(
            ["docker", "logs", self.name],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=COMMAND_S,
        )  # fmt: skip
        return said.stdout

    def says(self, text: str) -> str:
        """The logs, as soon as this is in them."""
        return until(lambda: said if text in (said := self.logs()) else None, f"{self.name} to say {text!r}")

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return int(docker("wait", self.name))

    def stop(self) -> int:
        """`docker stop`; the exit code."""
        docker("stop", "-t", "20", self.name)
        return int(docker("inspect", "-f", "{{.State.ExitCode}}", self.name))
