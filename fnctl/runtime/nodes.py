"""The stateful nodes of a project (`services:`): plain containers with a volume, on a network with no way out."""

from __future__ import annotations

from collections.abc import Sequence

from fnctl.engine.base import LABEL, LABEL_PROJECT, LABEL_ROLE, Engine
from fnctl.errors import EngineError
from fnctl.model import Network, Project, SandboxSpec, Service

DATA_PORT = 80
# The volume's root belongs to root; with every capability dropped, that is all this uid can do.
SERVICE_UID = 0


def network_name(project: str, network: Network) -> str:
    return f"fnctl-{project}-{network}"


def volume_name(project: str, service: str) -> str:
    return f"fnctl-{project}-{service}"


def spec(project: str, service: Service, image: str, run: str) -> SandboxSpec:
    """The built-in table store as a container. Its rows live in the volume and outlive it."""
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
        ),
        labels=((LABEL, "1"), (LABEL_PROJECT, project), (LABEL_ROLE, "service"), ("dev.fnctl.run", run)),
        uid=SERVICE_UID,
        mounts=((volume_name(project, service.name), "/data", False),),
        hostname=service.name,
        log_driver="local",
    )


class Nodes:
    """Starts the services and the networks that a project's functions ask for; takes both away again. Blocking."""

    def __init__(self, engine: Engine, project: Project, image: str, run: str) -> None:
        self._engine = engine
        self._project = project
        self._image = image
        self._run = run
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
            sandbox = self._engine.create(spec(self._project.id, service, self._image, self._run))
            self._started[service.name] = sandbox
            self._engine.connect(sandbox, self.networks[Network.SERVICES], (service.name,))

    def _wanted(self) -> Sequence[Network]:
        used = {function.network for function in self._project.functions}
        if self._project.services:
            used.add(Network.SERVICES)
        return sorted(used - {Network.NONE})

    def check(self) -> None:
        """EngineError for a service that has ended since it was started: a volume it cannot use, a broken image."""
        for name, sandbox in self._started.items():
            info = self._engine.inspect(sandbox)
            if info is None or not info.running:
                raise EngineError(
                    f"the service {name} ended right after it was started", hint=f"`docker logs {sandbox[:12]}`"
                )

    def stop(self) -> None:
        """Volumes stay: they hold the state."""
        while self._started:
            self._engine.destroy(self._started.popitem()[1])
        for name in self.networks.values():
            self._engine.remove_network(name)
        self.networks.clear()
