"""The documentation against the code: links lead somewhere, words and examples are those that the code knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from fnctl.cli.app import VERBS
from fnctl.config.keys import ProjectFile
from fnctl.model import Isolation, Model, Network, StartKind
from fnctl.sandbox.lifecycle import State

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("layers/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchor(heading: str) -> str:
    """As the common renderers make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = FENCED.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if fragment:
            assert fragment in {anchor(each) for each in HEADING.findall(target.read_text(encoding="utf-8"))}, link


def test_every_page_is_reached_from_the_readme() -> None:
    """From there on by links, a folder standing for its pages."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link.partition("#")[0]).resolve()
            waiting += [target] if target.suffix == ".md" and target.is_file() else []
            waiting += sorted(target.glob("*.md")) if target.is_dir() else []
    lost = [name(page) for page in ROOT.glob("docs/**/*.md") if page not in seen]
    assert lost == []


def test_every_verb_is_in_the_readme_and_no_other() -> None:
    listed = re.findall(r"^\| `fnctl ([a-z]+(?:-[a-z]+)*)` \|", README, re.MULTILINE)
    assert listed == [verb.name for verb in VERBS]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_verbs(page: Path) -> None:
    known = {verb.name for verb in VERBS}
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"`fnctl ([a-z]+(?:-[a-z]+)*)\b", FENCED.sub("", text))
    for language, block in FENCED.findall(text):
        shown += re.findall(r"^fnctl ([a-z]+(?:-[a-z]+)*)\b", block, re.MULTILINE) if language == "sh" else []
    assert set(shown) <= known


def first_column(text: str, header: str) -> list[str]:
    """The words in backticks of the first column of the table whose header begins so."""
    _, found, rest = text.partition(f"\n| {header} |")
    assert found, header
    table = rest.partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)`", table, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_start_kinds_are_those_of_the_code(page: str) -> None:
    assert first_column((ROOT / page).read_text(encoding="utf-8"), "start") == [str(kind) for kind in StartKind]


def test_tiers_are_those_that_instances_have() -> None:
    text = (ROOT / "docs/concepts/layers-and-tiers.md").read_text(encoding="utf-8")
    tiers = re.search(r"\*\*tier\*\* of an instance is the highest layer it has: `(\w+)`, `(\w+)` or `(\w+)`", text)
    assert tiers is not None
    assert tiers.groups() == (State.BASE, State.RUNTIME, "code")


def test_states_are_those_of_the_table() -> None:
    text = (ROOT / "docs/architecture/03-function-service.md").read_text(encoding="utf-8")
    picture = FENCED.findall(text)[0][1]
    assert {state for state in State if not re.search(rf"\b{state}\b", picture)} == set()


@pytest.mark.parametrize("words", [Model, Isolation, Network], ids=lambda words: str(words.__name__))
def test_choices_are_explained(words: type[Model] | type[Isolation] | type[Network]) -> None:
    concepts = "".join(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/concepts/*.md"))
    assert [word for word in words if not re.search(rf"`({words.__name__.lower()}: )?{word}`", concepts)] == []


def examples() -> list[Any]:
    found: list[Any] = []
    for page in PAGES:
        for language, text in FENCED.findall(page.read_text(encoding="utf-8")):
            if language == "yaml" and re.search(r"^(functions|services|include):", text, re.MULTILINE):
                found.append(pytest.param(text, id=f"{name(page)}:{len(found)}"))
    return found


@pytest.mark.parametrize("text", examples())
def test_examples_of_the_project_file_are_valid(text: str) -> None:
    data = YAML(typ="safe", pure=True).load(text)
    ProjectFile.model_validate({key: value for key, value in data.items() if not key.startswith("x-")})


PICTURES = sorted(ROOT.glob("docs/pictures/*.svg"))


@pytest.mark.parametrize("picture", PICTURES, ids=name)
def test_pictures_need_nothing_but_themselves(picture: Path) -> None:
    """No font or image from elsewhere, a background of their own: readable in light and dark, and small."""
    text = picture.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.get("aria-label")
    assert re.findall(r"(?:href|src)=|url\((?!#)|@import|@font-face|<image|<script", text) == []
    first = next(each for each in root.iter() if each.tag.endswith("rect") and each.get("fill"))
    assert float(str(first.get("width"))) >= float(str(root.get("viewBox")).split()[2]) - 1
    assert len(text) < 40_000
    assert picture.relative_to(ROOT).as_posix() in README
