"""The reference in docs/ says what the code says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fnctl import config
from fnctl.cli import reference
from fnctl.model import Receipt

DOCS = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", ["cli.md", "configuration.md", "errors.md", "receipt.md", "json.md"])
def test_the_reference_is_up_to_date(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == reference.pages()[name], "run `python -m fnctl.cli.reference docs/reference`"


def test_every_key_of_the_project_file_is_described() -> None:
    entries = [entry for entry in config.schema()["$defs"].values() if "properties" in entry]
    described = set(reference.pages()["configuration.md"].splitlines())
    assert [entry["title"] for entry in entries if entry["description"] not in described] == []


def test_each_field_of_a_receipt_is_described() -> None:
    assert set(reference.RECEIPT) == {field.name for field in dataclasses.fields(Receipt)}
