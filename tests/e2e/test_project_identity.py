"""A project keeps its data when its folder is renamed, and prune takes what is this project's and nobody else's."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Desk
from tests.support.command import docker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = """
functions:
  reach: {path: node, runtime: node24, handler: reach.handler, network: services}
services:
  data: {type: data}
"""


def volumes(desk: Desk) -> set[str]:
    return set(docker("volume", "ls", "-q", "--filter", f"label=dev.fnctl.home={home(desk)}").split())


def home(desk: Desk) -> str:
    return (desk.home / "id").read_text()


def used(desk: Desk) -> str:
    """Run it for a moment; the volume that its service had."""
    with rig.running(desk, warm=1) as running:
        assert running.call("reach", "/?host=data").json["connected"] is True
        (row,) = running.status()["services"]
        mounts = docker("inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", row["sandbox"]).split()
        assert running.process.poll() is None
        said = running.said.read_text()
        running.process.terminate()
        assert running.process.wait(60) == 0
    (volume,) = (name for name in mounts if name.startswith("fnctl-"))
    assert ("is not used" in said) == (desk.project.name == "stranger"), said
    return volume


def test_renamed_named_and_pruned(tmp_path: Path) -> None:
    with rig.desk(apart=True) as desk:
        (desk.project / "fnctl.yaml").write_text(PROJECT)
        first = used(desk)
        renamed = replace(desk, project=desk.project.rename(desk.project.with_name("renamed")))
        assert used(renamed) == first

        (renamed.project / "fnctl.yaml").write_text(f"name: shop\n{PROJECT}")
        assert used(renamed) == first
        elsewhere = replace(desk, project=Path(shutil.copytree(renamed.project, tmp_path / "release2")))
        shutil.rmtree(renamed.project)
        assert used(elsewhere) == first  # by its name alone

        (elsewhere.project / "fnctl.yaml").write_text(PROJECT)
        stranger = replace(desk, project=Path(shutil.move(elsewhere.project, tmp_path / "stranger")))
        os.removexattr(stranger.project, f"user.fnctl.{home(desk)}")  # as where a file system keeps none
        second = used(stranger)
        assert second != first

        listed = stranger.fnctl("prune", "--volumes", "--dry-run")
        assert second in listed.stdout and first not in listed.stdout, listed.stdout
        assert str(stranger.project) in listed.stdout
        assert stranger.fnctl("prune", "--volumes", "--yes").returncode == 0
        assert volumes(desk) == {first}
        whole = stranger.fnctl("prune", "--machine", "--volumes", "--yes")
        assert whole.returncode == 0, whole.stderr
        assert volumes(desk) == set()


def test_what_another_home_made_is_named_before_it_goes() -> None:
    with rig.desk(apart=True) as desk, rig.desk(apart=True) as other:
        assert other.fnctl("ps").returncode != 0
        name = f"fnctl-test-{os.getpid()}"
        docker(
            "volume", "create", "--label", "dev.fnctl=1", "--label", "dev.fnctl.home=0123456789ab",
            "--label", "dev.fnctl.project=abcdefabcdef", "--label", "dev.fnctl.folder=/srv/theirs",
            "--label", "dev.fnctl.user=bob", name,
        )  # fmt: skip
        try:
            kept = desk.fnctl("prune", "--machine", "--volumes", "--dry-run")
            assert name not in kept.stdout
            assert "1 volume" in kept.stderr and "bob: /srv/theirs" in kept.stderr, kept.stderr
            assert "--home 0123456789ab" in kept.stderr
            alone = desk.fnctl("prune", "--home", "0123456789ab")
            assert (alone.returncode, "--home needs --machine" in alone.stderr) == (2, True)
            told = desk.fnctl("prune", "--machine", "--volumes", "--home", "0123456789ab", "--dry-run", "-o", "json")
            assert name in told.stdout
        finally:
            docker("volume", "rm", name)
