"""Fixtures of the contract suites."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for the paths of unix sockets are."""
    with tempfile.TemporaryDirectory(prefix="gw") as made:
        yield Path(made)


# Where agents answer on a connection for each request, and on one for all of them.
BOTH_WAYS = ("test_gateway_relay", "test_gateway_life", "test_gateway_failures", "test_gateway_turns")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    own = metafunc.definition.get_closest_marker("own_connection") is not None
    if metafunc.module.__name__.rpartition(".")[2] in BOTH_WAYS and not own:
        metafunc.fixturenames.append("carriage")
        metafunc.parametrize("carriage", ["own", "shared"], indirect=True)


@pytest.fixture
def carriage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what the played agents of gateway_stage.py serve requests."""
    monkeypatch.setenv("FNCTL_TEST_CARRIAGE", request.param)
