"""`fnctl test` with a project's functions: in sandboxes, with mocks by name, a virtual clock, events and queues."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults import rig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TESTED = Path(__file__).parents[1] / "fixtures" / "tested"


def test_a_projects_own_tests_of_its_functions() -> None:
    with rig.desk(TESTED) as desk:
        shutil.move(desk.project / "kept.py", desk.project / "test_kept.py")
        done = desk.fnctl("test", "--", "-q", "-p", "no:cacheprovider")
        assert "5 passed" in done.stdout, done.stdout + done.stderr
        assert not desk.containers()
        assert list((desk.home / "projects").iterdir()) == []
