"""The decision records and their index belong together. After a new or changed record: `make adrs`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))


def test_the_index_is_that_of_the_records() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "adrs", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_number_is_given_twice() -> None:
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: str(record.stem))
def test_a_record_says_what_why_and_at_what_cost(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    parts = re.findall(r"^\*\*(Status|Decision|Why|Downside)\.\*\*", text, re.MULTILINE)
    assert sorted(set(parts)) == ["Decision", "Downside", "Status", "Why"]
    assert parts[:2] == ["Status", "Decision"]
