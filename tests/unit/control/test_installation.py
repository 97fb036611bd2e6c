"""A folder that serves releases: bundles of versions that it has forgotten go, all others stay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import paths
from fnctl.control import versions
from fnctl.control.installation import Installation
from fnctl.control.versions import KEPT, alias_of
from fnctl.engine.fake import FakeEngine
from fnctl.paths import ProjectPaths
from tests.unit.control.test_versions import version


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("FNCTL_HOME", f"{short}/home")
        (Path(short) / "place").mkdir()
        yield Path(short) / "place"


def test_what_no_version_names_any_more_is_removed(place: Path) -> None:
    installation = Installation(place, FakeEngine())
    ProjectPaths.of(installation.project.id).ensure()
    history = installation.history()
    for at in range(KEPT + 3):
        made = replace(version(f"v{at}"), bundles={"web": f"sha256:{at:064x}"})
        (paths.bundles() / f"{at:064x}").mkdir(parents=True)
        history, _ = history.having(made)
        if at == 1:
            history = history.aliased("prod", alias_of("2"))
        versions.write(installation.file, history)
        installation.collect()
    left = {int(folder.name, 16) for folder in paths.bundles().iterdir()}
    assert left == {each.number - 1 for each in installation.history().versions}
    assert 1 in left, "an alias holds it"
    assert not left & {0, 2}
