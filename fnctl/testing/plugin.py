"""The pytest plugin: `fnctl test`, or `pytest -p fnctl.testing.plugin`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fnctl import config
from fnctl.errors import EngineUnavailable
from fnctl.model import Project
from fnctl.testing.kit import Kit

if TYPE_CHECKING:
    from fnctl.testing.functions import Functions


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fnctl-file", default=None, metavar="FILE", help="the project's fnctl.yaml (default: the nearest)"
    )


@pytest.fixture(scope="session")
def project(pytestconfig: pytest.Config) -> Project:
    """The project, as `fnctl run` would read it."""
    given = pytestconfig.getoption("--fnctl-file")
    return config.load(pytestconfig.invocation_params.dir, Path(given).resolve() if given else None)


@pytest.fixture
def workflows(project: Project) -> Iterator[Kit]:
    """The project's workflows, with a store and a clock of this test's own."""
    kit = Kit(project)
    kit.open()
    try:
        yield kit
    finally:
        kit.close()


@pytest.fixture(scope="session")
def _served(project: Project) -> Iterator[Functions]:
    """All tests share one service: it starts with the first test that asks for it, and ends with the last."""
    from fnctl.testing.functions import Functions  # with all that serves, which tests of workflows do not need
    from fnctl.testing.serving import Serving

    try:
        serving = Serving(project)
        serving.start()
    except EngineUnavailable as error:
        pytest.skip(f"functions need a Docker Engine: {error.message}")
    try:
        yield Functions(serving)
    finally:
        serving.stop()


@pytest.fixture
def functions(_served: Functions) -> Iterator[Functions]:
    """The project's functions, in sandboxes; with mocks, events and queues of this test's own."""
    try:
        yield _served
    finally:
        _served.reset()
