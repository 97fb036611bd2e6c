"""`fnctl run --watch`: whatever way a change comes to the disk, the new version serves, or an error is said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = """
functions:
  app: {path: app, runtime: node24, handler: index.h, contract: event}
  linked: {path: current, runtime: node24, handler: index.h, contract: event}
  set:
    {path: set, runtime: python3.13, handler: m.h, contract: event, environment: {G: one}, env_file: x.env,
     secrets: [s]}
secrets:
  s: {file: s.txt}
"""
SET = """
import os
def h(event, context):
    return {"G": os.environ.get("G"), "F": os.environ.get("F"), "S": open("/run/secrets/s").read()}
"""
MANY = 8000


def source(says: str) -> str:
    return f"exports.h = async () => '{says}'\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with rig.desk() as desk:
        project = desk.project
        (project / "fnctl.yaml").write_text(PROJECT)
        (project / "x.env").write_text("F=one\n")
        (project / "s.txt").write_text("one")
        for folder in ("app/lib", "set", "releases/1", "releases/2"):
            (project / folder).mkdir(parents=True)
        (project / "current").symlink_to("releases/1")
        (project / "set" / "m.py").write_text(SET)
        for name in ("app", "releases/1", "releases/2"):
            (project / name / "index.js").write_text(source(name))
        for number in range(MANY // 10):
            for below in range(9):
                (project / "app" / "node_modules" / f"p{number}" / str(below)).mkdir(parents=True)
        with rig.running(desk, "--watch", "--quiet", warm=2) as made:
            yield made
            made.stop()


def serves(running: Running, function: str, body: str) -> None:
    until(lambda: running.call(function).body.decode() == body, f"{function} to serve {body}; {said(running)}")


def known(running: Running) -> None:
    """Whatever other tests have left there."""
    in_place(running.desk.project / "app" / "index.js", source("known"))
    serves(running, "app", "known")


def said(running: Running) -> str:
    return running.said.read_text()


def in_place(file: Path, text: str) -> None:
    file.write_text(text)


def renamed_over(file: Path, text: str) -> None:
    beside = file.with_name(".index.js.new")
    beside.write_text(text)
    beside.rename(file)


def as_vim_does(file: Path, text: str) -> None:
    """`backupcopy=no`: the old one is renamed away, and a new one written; the name 4913 is tried before."""
    (file.parent / "4913").touch()
    (file.parent / "4913").unlink()
    file.rename(f"{file}~")
    file.write_text(text)
    Path(f"{file}~").unlink()


def removed_and_made(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


def from_elsewhere(file: Path, text: str) -> None:
    elsewhere = file.parents[2] / "elsewhere.js"
    elsewhere.write_text(text)
    elsewhere.rename(file)


def linked(file: Path, text: str) -> None:
    other = file.parents[2] / "other.js"
    other.write_text(text)
    file.unlink()
    os.link(other, file)
    other.unlink()


def truncated_and_appended(file: Path, text: str) -> None:
    with file.open("w") as out:
        out.write(text[:5])
    with file.open("a") as out:
        out.write(text[5:])


SAVES = [in_place, renamed_over, as_vim_does, removed_and_made, from_elsewhere, linked, truncated_and_appended]


def test_what_builds_leave_out_is_not_watched(running: Running) -> None:
    """8,000 folders in node_modules: none of them is the kernel's, or ours, to look after."""
    until(lambda: "watching 4 folders for changes" in said(running), "the count of what is watched")


@pytest.mark.parametrize("save", SAVES)
def test_every_way_to_save(running: Running, save: Callable[[Path, str], None]) -> None:
    save(running.desk.project / "app" / "index.js", source(save.__name__))
    serves(running, "app", save.__name__)


def test_a_folder_replaced_renamed_moved_out(running: Running) -> None:
    app = running.desk.project / "app"
    app.rename(app.with_name("gone"))
    until(lambda: "app: still serving the previous code" in said(running), "the error of a folder that is gone")
    app.mkdir()
    (app / "index.js").write_text(source("replaced"))
    serves(running, "app", "replaced")
    (app / "index.js").write_text("exports.h = require('./lib/it').h\n")
    (app / "lib").mkdir()
    (app / "lib" / "it.js").write_text(source("in a folder made later"))
    serves(running, "app", "in a folder made later")
    (app / "lib").rename(app / "old")
    (app.parent / "gone" / "index.js").rename(app.parent / "gone" / "it.js")
    (app.parent / "gone").rename(app / "lib")
    (app / "lib" / "it.js").write_text(source("in a folder moved here"))
    serves(running, "app", "in a folder moved here")


def test_a_symlinked_release_folder(running: Running) -> None:
    serves(running, "linked", "releases/1")
    project = running.desk.project
    (project / "next").symlink_to("releases/2")
    (project / "next").rename(project / "current")
    serves(running, "linked", "releases/2")
    (project / "releases/2/index.js").write_text(source("edited behind the link"))
    serves(running, "linked", "edited behind the link")


def test_a_branch_checked_out_there_and_back(running: Running) -> None:
    app = running.desk.project / "app"

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", app, "-c", "user.name=x", "-c", "user.email=x@x", *words], check=True, timeout=60)

    (app / "index.js").write_text(source("main"))
    git("init", "-q", "-b", "main")
    (app / ".gitignore").write_text("node_modules\n")
    git("add", ".")
    git("commit", "-qm", "main")
    serves(running, "app", "main")
    git("checkout", "-qb", "topic")
    (app / "index.js").write_text(source("topic"))
    git("commit", "-qam", "topic")
    serves(running, "app", "topic")
    git("checkout", "-q", "main")
    serves(running, "app", "main")
    git("checkout", "-q", "topic")
    serves(running, "app", "topic")


def settings(running: Running) -> dict[str, str]:
    answer = running.call("set")
    assert answer.status == 200, answer.body
    return dict(answer.json)


def has(running: Running, **expected: str) -> None:
    until(lambda: expected.items() <= settings(running).items(), f"{expected}; {said(running)}")


def test_configuration_environment_files_and_secrets(running: Running) -> None:
    project = running.desk.project
    (project / "fnctl.yaml").write_text(PROJECT)
    has(running, G="one", F="one", S="one")
    pooled = {row["id"] for row in running.instances(None)}
    (project / "fnctl.yaml").write_text(PROJECT.replace("G: one", "G: two"))
    has(running, G="two", F="one", S="one")
    (project / "x.env").write_text("F=two\n")
    has(running, G="two", F="two", S="one")
    (project / "s.txt").write_text("two")
    has(running, G="two", F="two", S="two")
    assert "changed set" in said(running)
    assert pooled & {row["id"] for row in running.instances(None)} or len(pooled) <= 3, "the pool is kept"


def test_functions_come_and_go_and_change_their_routes(running: Running) -> None:
    project = running.desk.project
    text = PROJECT.replace("G: one", "G: two")
    more = "  more: {path: more, runtime: node24, handler: index.h, contract: event, triggers: [{http: {path: /a}}]}\n"
    (project / "more").mkdir()
    (project / "more" / "index.js").write_text(source("more"))
    with_more = text.replace("secrets:\n  s", more + "secrets:\n  s")
    (project / "fnctl.yaml").write_text(with_more)
    serves_at(running, "a", 200)
    instance = running.instances("more")[0]["id"]
    (project / "fnctl.yaml").write_text(with_more.replace("path: /a", "path: /b"))
    serves_at(running, "b", 200)
    serves_at(running, "a", 404)
    assert running.instances("more")[0]["id"] == instance, "a route is no reason for another instance"
    (project / "fnctl.yaml").write_text(text)
    serves_at(running, "b", 404)
    until(lambda: not running.instances("more"), "its instances to end")
    assert "removed more" in said(running)


def serves_at(running: Running, path: str, status: int) -> None:
    until(lambda: running.call(path, "").status == status, f"/{path} to be {status}; {said(running)}")


def test_a_broken_project_file_is_told_and_the_old_one_serves(running: Running) -> None:
    file = running.desk.project / "fnctl.yaml"
    known(running)
    sound, before = file.read_text(), settings(running)
    file.write_text(sound.replace("runtime: node24", "runtime: node99", 1))
    until(lambda: "unknown runtime `node99`" in said(running), "the problem to be told")
    assert settings(running) == before
    file.write_text(sound.replace("path: app", "path: app2"))
    until(lambda: "folder `app2` of function `app` does not exist" in said(running), "the next problem")
    (file.parent / "app2").mkdir()
    (file.parent / "app2" / "index.js").write_text(source("in the folder that came later"))
    serves(running, "app", "in the folder that came later")
    file.write_text(sound)
    serves(running, "app", "known")


def test_where_nothing_has_changed_nothing_is_said(running: Running) -> None:
    project = running.desk.project
    before = said(running)
    (project / "set" / "first.txt").write_text("what the tests before have changed is told by the time of this")
    until(lambda: "set: new code is" in said(running).removeprefix(before), "the first change")
    before = said(running)
    for path in ("fnctl.yaml", "x.env", "s.txt", "app/index.js"):
        (project / path).write_bytes((project / path).read_bytes())
    (project / "set" / "m.py.swp").touch()
    (project / "app" / "node_modules").mkdir(exist_ok=True)
    (project / "app" / "node_modules" / "x.js").write_text("1")
    (project / "set" / "last.txt").write_text("a real change, which comes last")
    until(lambda: "set: new code is" in said(running).removeprefix(before), "the last change")
    assert [line for line in said(running).removeprefix(before).splitlines() if not line.startswith("set: ")] == []


def test_code_that_does_not_load_is_told_though_no_instance_runs(running: Running) -> None:
    known(running)
    running.reap("app")
    (running.desk.project / "app" / "index.js").write_text("const broken = ;")
    until(lambda: "app did not load: index.js:1" in said(running), "the error")
    assert running.call("app").body == b"known"


def test_reload_without_watch() -> None:
    """`fnctl reload` does the same on a service that does not watch."""
    with rig.desk() as desk:
        project = desk.project
        (project / "fnctl.yaml").write_text(PROJECT.replace("  linked: {path: current", "  linked: {path: set"))
        (project / "x.env").write_text("F=one\n")
        (project / "s.txt").write_text("one")
        for folder in ("app", "set"):
            (project / folder).mkdir()
            (project / folder / "index.js").write_text(source("one"))
        (project / "set" / "m.py").write_text(SET)
        with rig.running(desk, warm=1) as running:
            assert (running.call("app").body, settings(running)["G"]) == (b"one", "one")
            assert "nothing has changed" in desk.fnctl("reload").stderr
            (project / "app" / "index.js").write_text("const broken = ;")
            (project / "s.txt").write_text("two")
            failed = desk.fnctl("reload")
            assert failed.returncode == 1, failed
            assert "app did not load: index.js:1" in failed.stderr
            assert (running.call("app").body, settings(running)["S"]) == (b"one", "one"), "all of it or nothing"
            (project / "app" / "index.js").write_text(source("two"))
            done = desk.fnctl("reload")
            assert done.stderr.startswith("changed app, set"), done.stderr
            assert (running.call("app").body, settings(running)["S"]) == (b"two", "two")
            (project / "fnctl.yaml").write_text("functions: {app: {path: nowhere}}")
            wrong = desk.fnctl("reload")
            assert wrong.returncode == 2
            assert "fnctl.yaml:1: folder `nowhere` of function `app` does not exist" in wrong.stderr
            assert running.call("app").body == b"two"
            running.audit()
            running.stop()
