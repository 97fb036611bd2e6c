"""What a caller is told of a workflow's end."""

from __future__ import annotations

import json

import pytest

from fnctl.triggers.http.workflow_routes import ended


@pytest.mark.parametrize(
    ("named", "status"), [(402, 402), (422, 422), (404, 404), (599, 599), (200, 500), (600, 500), ("422", 500)]
)
def test_a_fault_has_the_status_that_it_names_where_that_is_an_errors(named: object, status: int) -> None:
    fault = {"type": "https://shop.example/errors/no-stock", "title": "no stock", "status": named}
    told = ended("run1", {"state": "faulted", "error": fault})
    assert told.status == status
    assert json.loads(told.body) == fault
    assert b"application/problem+json" in told.headers


def test_an_output_is_the_answer_and_a_run_that_was_cancelled_a_conflict() -> None:
    assert json.loads(ended("run1", {"state": "completed", "output": {"n": 1}}).body) == {"n": 1}
    assert ended("run1", {"state": "cancelled"}).status == 409
