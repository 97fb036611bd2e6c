"""`fnctl setup`: which runtimes it makes an image of, and what it does without an engine and without leave to install."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl import assets
from fnctl.cli.main import main
from fnctl.cli.setup import chosen
from fnctl.errors import UsageError


def test_the_defaults_and_what_is_asked_for_each_once() -> None:
    assert [spec.name for spec in chosen(["node22", "node24"], assets.runtimes())] == ["node24", "python3.13", "node22"]


def test_an_unknown_runtime_names_the_known() -> None:
    with pytest.raises(UsageError, match="no runtime named node20") as caught:
        chosen(["node20"], assets.runtimes())
    assert caught.value.hint == "there are: node22, node24, python3.13"


def test_an_engine_that_was_named_and_does_not_answer_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert main(["setup"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{tmp_path}/none.sock) does not answer" in said.err
    assert "hint: start it, or unset DOCKER_HOST" in said.err
