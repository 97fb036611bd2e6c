"""Sandboxes with the real image on the real engine, for tests of what runs inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fnctl import catalog
from fnctl.builder import layer_images as layers
from fnctl.engine.docker import DockerEngine
from fnctl.progress import Silent
from tests.contract.agents.packages import built
from tests.contract.agents.sandbox_host import Sandboxes, SandboxHost, running
from tests.support import homes

RUNTIMES = ("node24", "php8.4", "python3.13")

Start = Callable[..., SandboxHost]
Place = Callable[..., SandboxHost]
Load = Callable[..., SandboxHost]


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def sandbox_image(engine: DockerEngine) -> str:
    """The sandbox image with the agents as they are in the tree."""
    known = catalog.runtimes()
    return layers.sandbox_image(engine, [known[name] for name in RUNTIMES], Silent())


@pytest.fixture(scope="module")
def sandboxes(engine: DockerEngine, sandbox_image: str) -> Iterator[Sandboxes]:
    made = Sandboxes(engine, sandbox_image)
    yield made
    made.stop()


BOTH_WAYS = ("test_agents_node", "test_contracts_node", "test_contracts_node_platforms")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    own = metafunc.definition.get_closest_marker("own_connection") is not None
    if "start" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in BOTH_WAYS and not own:
        metafunc.parametrize("carriage", ["own", "shared"], indirect=True)


@pytest.fixture
def carriage(request: pytest.FixtureRequest) -> str:
    """`shared`: agents that know how take requests on one connection."""
    return getattr(request, "param", "own")


@pytest.fixture
def start(sandboxes: Sandboxes, carriage: str) -> Iterator[Start]:
    """start(runtime, files) → a host whose sandbox has a booted agent; more than one may be started."""
    with ExitStack() as stack:

        def start(
            runtime: str, files: Mapping[str, str] | None = None, *, template: bool = False, **place: object
        ) -> SandboxHost:
            host = stack.enter_context(sandboxes.one(catalog.runtimes()[runtime]))
            host.offers = carriage == "shared"
            host.place(files or {}, **place)  # type: ignore[arg-type]
            host.boot(template=template)
            return host

        yield start


@pytest.fixture(scope="module")
def python_sandbox(engine: DockerEngine, sandbox_image: str) -> Iterator[SandboxHost]:
    with running(engine, sandbox_image, catalog.runtimes()["python3.13"]) as host:
        yield host


@pytest.fixture
def place(python_sandbox: SandboxHost) -> Place:
    """place(files, extra) → the sandbox, with a booted agent and this code."""

    def place(files: Mapping[str, str], extra: Path | None = None) -> SandboxHost:
        python_sandbox.reboot(files, extra)
        return python_sandbox

    return place


@pytest.fixture
def load(place: Place) -> Load:
    """load(contract, code, …) → the sandbox, which has loaded `main.NAME` of it."""

    def load(contract: str, code: str, name: str = "handler", *, extra: Path | None = None, **fields: Any) -> Any:
        host = place({"main.py": code, **fields.pop("files", {})}, extra)
        host.load(f"main.{name}", contract=contract, **fields)
        return host

    return load


@pytest.fixture(scope="session")
def workshop(
    engine: DockerEngine, sandbox_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, tuple[str, str]], Path]]:
    """workshop(runtime, (manifest's name, its text)) → a folder with these dependencies."""
    place = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FNCTL_HOME", str(homes.made(place / "home")))

        def packages(runtime: str, manifest: tuple[str, str]) -> Path:
            folder = place / f"{runtime}-{len(list(place.iterdir()))}"
            return built(engine, sandbox_image, folder, runtime, manifest)

        yield packages


@pytest.fixture(scope="session")
def node_packages(workshop: Callable[[str, tuple[str, str]], Path]) -> Path:
    wanted = {
        "express": "^5",
        "express4": "npm:express@^4",
        "koa": "^3",
        "fastify": "^5",
        "ws": "^8",
        "compression": "^1",
        "morgan": "^1",
        "express-session": "^1",
        "multer": "^2",
    }
    return workshop("node24", ("package.json", json.dumps({"name": "tested", "dependencies": wanted})))


@pytest.fixture(scope="session")
def node_platforms(workshop: Callable[[str, tuple[str, str]], Path]) -> Path:
    """What functions of other platforms bring with them."""
    wanted = {
        "@webserverless/fc-express": "^1",
        "@google-cloud/functions-framework": "^5",
        "cloudevents": "^10",
        "express": "^4",
    }
    return workshop("node24", ("package.json", json.dumps({"name": "platforms", "dependencies": wanted})))


@pytest.fixture(scope="session")
def python_packages(workshop: Callable[[str, tuple[str, str]], Path]) -> Path:
    """Some in versions that are not those of the agent's own servers."""
    wanted = "flask\nfastapi\nuvicorn<0.40\nh11<0.15\nhttptools<0.7\nclick<8.2\nwaitress\ndjango\n"
    return workshop("python3.13", ("requirements.txt", wanted))


@pytest.fixture(scope="session")
def python_platforms(workshop: Callable[[str, tuple[str, str]], Path]) -> Path:
    """What functions of other platforms bring with them; with the framework come Flask and the CloudEvents SDK."""
    return workshop("python3.13", ("requirements.txt", "functions-framework\n"))
