"""A new version is saved while requests come without a pause: each is answered, by the old one or the new."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = """
functions:
  web: {path: web, runtime: node24, handler: app.handler}
"""
APP = """
const fs = require('node:fs');
const first = '%s';
exports.handler = async () => {
  await new Promise((done) => setTimeout(done, 20));
  return `${first} ${fs.readFileSync(__dirname + '/version', 'utf8')}`;
};
"""
CLIENTS = 6


def save(project: Path, version: str) -> None:
    """Two files, as editors save several at once."""
    (project / "web").mkdir(exist_ok=True)
    (project / "web" / "version").write_text(version)
    (project / "web" / "app.js").write_text(APP % version)


def ask_on(running: Running, answers: list[tuple[int, str]], over: threading.Event) -> None:
    while not over.is_set():
        answer = running.call("web")
        answers.append((answer.status, answer.body.decode()))


def test_a_new_version_under_load() -> None:
    with rig.desk() as desk:
        (desk.project / "fnctl.yaml").write_text(PROJECT)
        save(desk.project, "v1")
        with rig.running(desk, "--watch", warm=2) as running:
            running.call("web")
            over = threading.Event()
            told: list[list[tuple[int, str]]] = [[] for _ in range(CLIENTS)]
            clients = [threading.Thread(target=ask_on, args=(running, mine, over)) for mine in told]
            for client in clients:
                client.start()
            for version in ("v2", "v3"):
                save(desk.project, version)
                until(partial(all_said, told, version), f"{version} to be served")
            (desk.project / "web" / "app.js").write_text("const broken = ;")
            until(lambda: "app.js:1" in running.said.read_text(), "the broken version to be told")
            over.set()
            for client in clients:
                client.join()
            answers = [answer for mine in told for answer in mine]
            assert {status for status, _ in answers} == {200}
            # never mixed: the file that is read per request is the one of the code that reads it
            mixed = {body for _, body in answers} - {"v1 v1", "v2 v2", "v3 v3"}
            assert mixed <= {"v1 v2", "v2 v3"}, "a bundle may be built between the saves of two files, never after"
            for mine in told:
                firsts = [body[:2] for _, body in mine]
                assert firsts == sorted(firsts), "once the new one has answered, the old one does not"
            assert running.call("web").body == b"v3 v3", "the last that loaded serves on"
            running.audit()
            running.stop()


def all_said(told: list[list[tuple[int, str]]], version: str) -> bool:
    return all(mine and mine[-1][1].startswith(version) for mine in told)
