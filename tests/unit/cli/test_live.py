"""What `fnctl run` shows while it serves, as text."""

from __future__ import annotations

from typing import Any

import pytest

from fnctl.cli.live import page


def status(functions: int, busy: int) -> dict[str, Any]:
    rows = [
        {
            "name": f"f{i}",
            "model": "resident",
            "version": "v",
            "instances": int(i < busy),
            "in_flight": 0,
            "queued": 0,
            "errors": i,
        }
        for i in range(functions)
    ]
    pool = {"base": 2, "runtime": 1, "target": 3}
    return {"functions": rows, "instances": [{"memory_mb": 20.0}, {"memory_mb": None}], "pool": pool, "requests": 7}


def test_a_row_a_function_and_the_pool() -> None:
    lines = page(status(3, 1), 2.0, 24).splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["FUNCTION", "f0", "f1", "f2"]
    assert lines[0].endswith("ERRORS")
    assert [line.split()[-1] for line in lines[1:4]] == ["0", "1", "2"]
    assert lines[-1] == "pool 2 base + 1 runtime of 3   2 requests/s   7 requests in total   20 MB   Ctrl-C to stop"


@pytest.mark.parametrize("busy", [0, 2, 40])
def test_more_functions_than_lines(busy: int) -> None:
    lines = page(status(40, busy), 0.0, 12).splitlines()
    assert len(lines) < 12
    assert lines[0].startswith("FUNCTION")
    assert lines[-1].endswith("Ctrl-C to stop")
    assert f"… and {40 - min(busy, 7)} more" in lines


def test_services_have_rows() -> None:
    service = {
        "name": "db", "type": "data", "state": "ready", "age_s": 3.0, "restarts": 1, "address": "172.18.0.2",
        "ports": [7878], "found": None,
    }  # fmt: skip
    lines = page({**status(3, 1), "services": [service]}, 2.0, 24).splitlines()
    (row,) = [line for line in lines if line.startswith("db ")]
    assert row.split()[:3] == ["db", "data", "ready"]
    assert len(page({**status(40, 40), "services": [service]}, 2.0, 14).splitlines()) < 14
