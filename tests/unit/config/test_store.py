"""The `store` of a project: filled in from the environment, and never told where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl import config
from fnctl.errors import ConfigError
from fnctl.model import Project

WEB = "functions:\n  web: {runtime: node24, handler: index.js}\n"


def load(root: Path, text: str, **environ: str) -> Project:
    (root / "index.js").touch()
    (root / "fnctl.yaml").write_text(text)
    return config.load(root, environ=environ)


def test_a_password_comes_from_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    project = load(tmp_path, "store: postgres://fn:${DB_PASSWORD}@db/app\n" + WEB, DB_PASSWORD="s3cr3t")
    assert project.store == "postgres://fn:s3cr3t@db/app"
    assert "s3cr3t" not in repr(project)
    assert load(tmp_path, WEB).store is None


@pytest.mark.parametrize("url", ["mysql://fn:s3cr3t@db/app", "s3cr3t", "[s3cr3t]", "5"])
def test_what_is_no_url_is_told_without_what_it_says(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"fnctl\.yaml:1: store: not the URL of a Postgres database") as caught:
        load(tmp_path, f"store: {url}\n" + WEB)
    assert "s3cr3t" not in f"{caught.value}{caught.value.hint}"


def test_a_project_has_one_store(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("store: postgres://db/app\n")
    with pytest.raises(ConfigError, match=r"more\.yaml:1: a project has one store"):
        load(tmp_path, "include: [more.yaml]\n" + WEB)
