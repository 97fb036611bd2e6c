"""The cache of compiled code is made by foreign code: what it leaves is taken as that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fnctl.builder import bundle
from fnctl.builder import code_cache as warm
from fnctl.builder.dependencies import Workshop
from fnctl.builder.host_settings import HostSettings
from fnctl.engine.fake import FakeEngine
from fnctl.engine.port import LABEL, RunResult
from fnctl.model import Function, RuntimeSpec, SandboxSpec, WarmRule
from fnctl.progress import Silent


class Loading(FakeEngine):
    """An engine whose sandbox does something to its cache folder."""

    def __init__(self, act: Callable[[Path], object]) -> None:
        super().__init__()
        self._act = act

    def run(
        self, spec: SandboxSpec, *, timeout_s: float, on_line: Callable[[str], None] = lambda line: None
    ) -> RunResult:
        self._act(next(Path(source) for source, inside, _ in spec.mounts if inside == warm.CACHE))
        return RunResult(0, "")


def fill(root: Path, act: Callable[[Path], object], version: str = "24.0.0") -> Path:
    app, room, layer = root / "app", root / "room" / version, root / "layer"
    for folder in (app, room, layer):
        folder.mkdir(parents=True, exist_ok=True)
    shop = Workshop(
        Loading(act),
        lambda runtime: "sandbox",
        lambda runtime, tool: Path(tool),
        {LABEL: "1"},
        HostSettings(()),
        Silent(),
        10,
    )
    spec = RuntimeSpec("node24", "node", version, layer, ("agent",), warm=WarmRule(("load", "{handler}")))
    warm.fill(shop, Function("f", app, "node24", "index.js"), spec, app, room)
    assert not warm.is_stale(app, spec)
    return app / bundle.DERIVED


def test_what_a_load_left_is_kept_for_all_to_read(tmp_path: Path) -> None:
    def act(cache: Path) -> None:
        (cache / "v24").mkdir()
        (cache / "v24" / "blob").write_bytes(b"code")
        (cache / "v24" / "blob").chmod(0o4700)

    kept = fill(tmp_path, act)
    assert (kept / "v24" / "blob").read_bytes() == b"code"
    assert (kept / "v24" / "blob").stat().st_mode & 0o7777 == 0o755
    assert kept.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("absolute", [True, False])
def test_a_planted_symlink_reaches_no_file_of_the_host(tmp_path: Path, absolute: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text("private")
    secret.chmod(0o600)
    kept = fill(tmp_path, lambda cache: (cache / "link").symlink_to(secret if absolute else "../../secret"))
    assert secret.stat().st_mode & 0o777 == 0o600
    assert not kept.exists()


def test_a_load_that_left_nothing_makes_no_cache(tmp_path: Path) -> None:
    assert not fill(tmp_path, lambda cache: None).exists()


def test_a_cache_that_another_version_made_is_made_anew(tmp_path: Path) -> None:
    kept = fill(tmp_path, lambda cache: (cache / "blob").write_text("old"))
    (tmp_path / "room" / "24.0.0").rename(tmp_path / "room" / "before")
    assert (fill(tmp_path, lambda cache: (cache / "blob").write_text("again")) / "blob").read_text() == "old"
    assert (fill(tmp_path, lambda cache: (cache / "new").write_text("new"), "24.0.1") / "new").read_text() == "new"
    assert not (kept / "blob").exists()


def test_a_load_that_says_itself_who_made_its_cache_makes_none(tmp_path: Path) -> None:
    assert not fill(tmp_path, lambda cache: (cache / warm.MADE_BY).mkdir()).exists()
