"""A container under plain `docker run`, whose server is asked over the port that Docker publishes."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from dataclasses import dataclass

WAIT_S = 20.0  # for the server to come up


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], check=True, capture_output=True, text=True, timeout=60)
    return (done.stdout + done.stderr).strip()


@dataclass(frozen=True, slots=True)
class Container:
    name: str

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """The first answer, as soon as the server is up."""
        address = docker("port", self.name, "9000/tcp").splitlines()[0]
        deadline = time.monotonic() + WAIT_S
        while True:
            client = http.client.HTTPConnection(address, timeout=WAIT_S)
            with contextlib.closing(client):
                try:
                    client.request(method, path, body=body, headers={"Content-Type": "application/json"})
                    response = client.getresponse()
                    return response.status, response.read()
                except (ConnectionError, http.client.HTTPException):
                    if time.monotonic() > deadline:
                        raise AssertionError(docker("logs", self.name)) from None
                    time.sleep(0.05)

    def stop(self) -> int:
        """`docker stop`; the exit code."""
        docker("stop", "-t", "20", self.name)
        return int(docker("inspect", "-f", "{{.State.ExitCode}}", self.name))
