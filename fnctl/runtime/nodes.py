"""The stateful nodes of a project (`services:`): plain containers with a volume, on a network with no way out."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from fnctl.engine.base import LABEL, LABEL_PROJECT, LABEL_ROLE, Engine
from fnctl.errors import EngineError
from fnctl.model import Network, Project, SandboxSpec, Service

DATA_PORT = 80
READY_S = 15.0  # a service that starts answers within tenths of a second, also after it was killed in a write
LOOK_S = 0.5  # how soon a service that has ended instead is noticed
READY = "ready.sock"
# The volume's root belongs to root; with every capability dropped, that is all this uid can do.
SERVICE_UID = 0


def network_name(project: str, network: Network) -> str:
    return f"fnctl-{project}-{network}"


def volume_name(project: str, service: str) -> str:
    return f"fnctl-{project}-{service}"


def spec(project: str, service: Service, image: str, run: str, folder: Path) -> SandboxSpec:
    """The built-in table store as a container. Its rows live in the volume and outlive it. `folder`: where it says that
    it answers."""
    return SandboxSpec(
        name=f"fnctl-{project}-service-{service.name}",
        image=image,
        command=(
            "/usr/bin/python3",
            "/opt/fnctl/data/server.py",
            "--host",
            "0.0.0.0",
            "--port",
            str(DATA_PORT),
            "--db",
            "/data/data.db",
            "--ready",
            f"/fn/{READY}",
        ),
        labels=((LABEL, "1"), (LABEL_PROJECT, project), (LABEL_ROLE, "service"), ("dev.fnctl.run", run)),
        uid=SERVICE_UID,
        mounts=((volume_name(project, service.name), "/data", False), (str(folder), "/fn", True)),
        hostname=service.name,
        log_driver="local",
    )


class Nodes:
    """Starts the services and the networks that a project's functions ask for; takes both away again. Blocking."""

    def __init__(
        self, engine: Engine, project: Project, image: str, run: str, folder: Path, ready_s: float = READY_S
    ) -> None:
        """`folder` is the project's for slots: a service gets one of its own in it."""
        self._engine = engine
        self._project = project
        self._image = image
        self._run = run
        self._folder = folder
        self._ready_s = ready_s
        self._listeners: dict[str, socket.socket] = {}  # service → where it says that it answers
        self._started: dict[str, str] = {}  # service → sandbox
        self.networks: dict[Network, str] = {}

    def start(self) -> None:
        """EngineError where one does not come up; what was started is stopped by `stop`."""
        labels = {LABEL: "1", LABEL_PROJECT: self._project.id}
        for network in self._wanted():
            name = network_name(self._project.id, network)
            self._engine.ensure_network(name, internal=network is Network.SERVICES, labels=labels)
            self.networks[network] = name
        for service in self._project.services:
            self._engine.ensure_volume(volume_name(self._project.id, service.name), labels)
            folder = self._listen(service.name)
            sandbox = self._engine.create(spec(self._project.id, service, self._image, self._run, folder))
            self._started[service.name] = sandbox
            self._engine.connect(sandbox, self.networks[Network.SERVICES], (service.name,))

    def _wanted(self) -> Sequence[Network]:
        used = {function.network for function in self._project.functions}
        if self._project.services:
            used.add(Network.SERVICES)
        return sorted(used - {Network.NONE})

    def _listen(self, name: str) -> Path:
        """The service dials, as all sandboxes do: nothing of it is opened from here (docs/adr/0002)."""
        folder = self._folder / f"service-{name}"
        folder.mkdir()
        folder.chmod(0o755)
        self._listeners[name] = listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / READY))
        (folder / READY).chmod(0o666)
        listener.listen(1)
        listener.settimeout(LOOK_S)
        return folder

    def check(self) -> None:
        """Wait until every service has answered a request. EngineError for one that does not, or that has ended: a
        volume it cannot use, a broken image."""
        deadline = time.monotonic() + self._ready_s
        for name, sandbox in self._started.items():
            while not self._answers(name):
                logs = f"`docker logs {sandbox[:12]}`"
                info = self._engine.inspect(sandbox)
                if info is None or not info.running:
                    raise EngineError(f"the service {name} ended right after it was started", hint=logs)
                if time.monotonic() > deadline:
                    raise EngineError(f"the service {name} does not answer within {self._ready_s:g} s", hint=logs)

    def _answers(self, name: str) -> bool:
        """Within LOOK_S. It dials when a request to its own port was answered well."""
        with contextlib.suppress(TimeoutError):
            self._listeners[name].accept()[0].close()
            return True
        return False

    def stop(self) -> None:
        """Volumes stay: they hold the state."""
        while self._started:
            self._engine.destroy(self._started.popitem()[1])
        for name, listener in self._listeners.items():
            listener.close()
            shutil.rmtree(self._folder / f"service-{name}", ignore_errors=True)
        self._listeners.clear()
        for name in self.networks.values():
            self._engine.remove_network(name)
        self.networks.clear()
