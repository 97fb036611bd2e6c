"""The reference in docs/ says what the code says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fnctl.cli import reference
from fnctl.model import Receipt

DOCS = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", ["cli.md", "configuration.md", "errors.md", "receipt.md", "json.md"])
def test_the_reference_is_up_to_date(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == reference.pages()[name], "run `python -m fnctl.cli.reference docs/reference`"


def test_each_field_of_a_receipt_is_described() -> None:
    assert set(reference.RECEIPT) == {field.name for field in dataclasses.fields(Receipt)}
