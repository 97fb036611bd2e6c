"""Real brokers for tests: Debian's servers on a free port of loopback, each with a folder for what it keeps."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import until

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"  # where Debian has some of them


@dataclass
class Server:
    """start, stop, and start again on the same port with what it kept."""

    folder: Path
    command: Callable[[Path, int], list[str]]
    scheme: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        program, *words = self.command(self.folder, self.port)
        found = shutil.which(program, path=PATH)
        assert found is not None, f"{program} is not installed: tools/test-tools installs it"
        with (self.folder / "said").open("ab") as out:
            self.process = subprocess.Popen([found, *words], stdout=out, stderr=out)
        until(self._listens, f"{program} to listen")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None


def redis(folder: Path, port: int) -> list[str]:
    words = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "appendonly": "yes", "appendfsync": "always"}
    return ["redis-server", *(word for key, value in words.items() for word in (f"--{key}", value))]


def nats(folder: Path, port: int) -> list[str]:
    return ["nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]


def mosquitto(folder: Path, port: int) -> list[str]:
    lines = (
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        *(f"log_type {kind}" for kind in ("error", "warning", "notice", "information", "subscribe")),
        "persistence true",
        f"persistence_location {folder}/",
        *(["user root"] if os.geteuid() == 0 else []),  # it would change to a user that cannot write here
    )
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    return ["mosquitto", "-c", str(folder / "mosquitto.conf")]


def rabbitmq(folder: Path, port: int) -> list[str]:
    """With a name server of Erlang's (epmd) of its own, that ends with it; else one would stay for good."""
    names = free_port()
    settings = {
        "HOME": folder,
        "ERL_EPMD_PORT": names,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"fnctl-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": port,
        "RABBITMQ_DIST_PORT": free_port(),
        "RABBITMQ_MNESIA_BASE": folder / "data",
        "RABBITMQ_LOGS": "-",
        **{f"RABBITMQ_{kind}_FILE": folder / "none" for kind in ("ENABLED_PLUGINS", "CONFIG", "CONF_ENV")},
    }
    words = " ".join(f"{key}={value}" for key, value in settings.items())
    both = f"epmd -port {names} & names=$!; env {words} /usr/lib/rabbitmq/bin/rabbitmq-server & server=$!"
    end = "trap 'kill $server; wait $server; kill $names' TERM"
    return ["sh", "-c", f"cd {folder}; {both}; {end}; wait $server; wait $server"]


SERVERS: dict[str, tuple[Callable[[Path, int], list[str]], str]] = {
    "redis": (redis, "redis"),
    "nats": (nats, "nats"),
    "mqtt": (mosquitto, "mqtt"),
    "amqp": (rabbitmq, "amqp"),
}


def server(kind: str, folder: Path) -> Server:
    command, scheme = SERVERS[kind]
    return Server(folder, command, scheme)
