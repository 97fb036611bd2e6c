"""Sandboxes with the real image on the real engine, for tests of what runs inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from sandbox_host import SandboxHost, running

from fnctl import assets
from fnctl.build import layers
from fnctl.engine.docker import DockerEngine
from fnctl.progress import Silent

RUNTIMES = ("node24", "python3.13")

Start = Callable[..., SandboxHost]


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def sandbox_image(engine: DockerEngine) -> str:
    """The sandbox image with the agents as they are in the tree."""
    known = assets.runtimes()
    return layers.sandbox_image(engine, [known[name] for name in RUNTIMES], Silent())


@pytest.fixture
def start(engine: DockerEngine, sandbox_image: str) -> Iterator[Start]:
    """start(runtime, files) → a host whose sandbox has a booted agent; more than one may be started."""
    with ExitStack() as stack:

        def start(runtime: str, files: Mapping[str, str] | None = None, **place: object) -> SandboxHost:
            host = stack.enter_context(running(engine, sandbox_image, assets.runtimes()[runtime]))
            host.place(files or {}, **place)  # type: ignore[arg-type]
            host.boot()
            return host

        yield start
