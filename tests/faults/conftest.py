"""One running fnctl for all faults that it must survive, audited after each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.faults import rig

CANARY = "canary-" + secrets.token_hex(16)  # a secret, to be looked for where it must not be


@pytest.fixture(scope="session")
def canary() -> str:
    return CANARY


@pytest.fixture(scope="session")
def shared() -> Iterator[rig.Running]:
    with rig.desk(FNCTL_TEST_CANARY=CANARY) as desk:
        (desk.project / "python" / "canary.txt").write_text(CANARY)
        with rig.running(desk) as running:
            yield running
            running.stop()


@pytest.fixture
def fnctl(shared: rig.Running) -> Iterator[rig.Running]:
    """The shared service, before and after in good order."""
    assert shared.process.poll() is None, shared.said.read_text()
    yield shared
    shared.audit()
    assert shared.call("harmless").status == 200
