"""The pages of docs/architecture against the code: packages, files and functions that they name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "architecture").glob("*.md"))
WALKS = ("01-life-of-one-request.md", "02-life-of-one-build.md")
FILE = re.compile(r"`([\w./-]+/[\w-]+\.(?:py|pl|php|js))`")
STEP = re.compile(r"^\| \d+ \| `([\w/]+\.py)` \| ([^|]+) \|", re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / "docs" / "architecture" / name).read_text(encoding="utf-8")


def places(file: str) -> list[Path]:
    """A file is named from the root, or from the package."""
    return [place for place in (ROOT / file, ROOT / "fnctl" / file) if place.is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_files_are_there(page: Path) -> None:
    named = set(FILE.findall(page.read_text(encoding="utf-8")))
    assert sorted(file for file in named if not places(file)) == []


@pytest.mark.parametrize("page", WALKS)
def test_a_walk_goes_through_functions_that_are_there(page: str) -> None:
    steps = STEP.findall(read(page))
    assert len(steps) >= 15
    lost = []
    for file, functions in steps:
        text = places(file)[0].read_text(encoding="utf-8")
        names = re.findall(r"`(\w+)`", functions)
        assert names, file
        lost += [
            f"{file}: {name}" for name in names if not re.search(rf"^\s*(async )?def {name}\(", text, re.MULTILINE)
        ]
    assert lost == []


def test_every_package_is_told_and_in_the_picture() -> None:
    text = read("00-overview.md")
    picture, _, rest = text.partition("| package |")
    table = rest.partition("\n\n")[0]
    here = {each.name for each in (ROOT / "fnctl").iterdir() if (each / "__init__.py").is_file()} | {"dev", "scaffold"}
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == here
    assert {name for name in here if not re.search(rf"\b{name}\b", picture)} == set()
