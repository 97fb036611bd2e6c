"""The pytest plugin: `fnctl test`, or `pytest -p fnctl.testing.plugin`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fnctl import config
from fnctl.model import Project
from fnctl.testing.kit import Kit


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
