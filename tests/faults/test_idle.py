"""A short keep-alive: instances that waited long in the pool serve the call that they were taken for."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults import rig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

NAMES = [f"f{number}" for number in range(20)]
FUNCTION = "{runtime: node24, handler: index.handler, idle_timeout: 1s, keep: 0s, network: egress}"


def project(folder: Path) -> Path:
    (folder / "index.js").write_text("exports.handler = async () => 'served'\n")
    functions = "".join(f"  {name}: {FUNCTION}\n" for name in NAMES)
    (folder / "fnctl.yaml").write_text(textwrap.dedent("functions:\n") + functions)
    return folder


def test_nothing_is_reaped_before_it_served(tmp_path: Path) -> None:
    with rig.desk(project(tmp_path)) as desk, rig.running(desk, warm=2) as fnctl:
        with ThreadPoolExecutor(2) as clients:
            answers = list(clients.map(fnctl.call, NAMES))
        assert [answer.status for answer in answers] == [200] * len(NAMES)
        for name in NAMES:
            served = {row["instance"] for row in desk.lines(name) if row["kind"] == "receipt"}
            reaped = {row["instance"] for row in desk.lines(name) if row.get("text") == "instance ended: reaped"}
            assert reaped <= served, name
        fnctl.stop()
