"""The projects that `make bench` measures."""

from __future__ import annotations

from pathlib import Path

from bench.projects import BURST, EDITED, EXPRESS, FLASK, TINY, BenchProjects, ephemeral


def test_the_projects_of_the_bench_are_valid_and_made_anew_each_time(tmp_path: Path) -> None:
    projects = BenchProjects(tmp_path)
    standard = {function.name: function for function in projects.standard().functions}
    names = {ephemeral(language, kind) for language in ("node", "python") for kind in ("process", "container")}
    assert set(standard) == {EXPRESS, FLASK, TINY} | names
    assert all(
        (function.path / function.handler).is_file() for function in standard.values() if function.name not in names
    )
    (tmp_path / "standard" / "left.txt").write_text("of the last run")
    projects.standard()
    assert not (tmp_path / "standard" / "left.txt").exists()
    assert [function.name for function in projects.bursting().functions] == list(BURST)
    assert len(projects.crowd(20).functions) == 20
    project, file = projects.edited()
    assert project.functions[0].name == EDITED
    assert file.is_file()
