"""A project whose deferred calls are kept in Postgres: made over restarts, and its password shows nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults import rig
from tests.support.postgres import PASSWORD, URL_PASSWORD, cluster

pytestmark = [pytest.mark.engine, pytest.mark.servers, pytest.mark.timeout(300)]

FILE = """name: sharing
store: postgres://fn:${{DB_PASSWORD}}@/postgres?host={folder}
functions:
  work: {{runtime: node24, handler: index.js}}
"""
NODE = "require('http').createServer((request, response) => response.end('made\\n')).listen(3000)\n"


def processes() -> str:
    """The command lines of all that runs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue  # it has ended
    return "\n".join(found)


def test_calls_are_kept_in_postgres_and_its_password_shows_nowhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with cluster() as database:
        for name, text in (
            ("fnctl.yaml", FILE.format(folder=database.folder)),
            (".env", f"DB_PASSWORD={URL_PASSWORD}\n"),
            ("index.js", NODE),
        ):
            (source / name).write_text(text)
        with rig.desk(source) as desk:
            with rig.running(desk, warm=1) as running:
                accepted = desk.fnctl("invoke", "work", "--async", "--delay", "1h")
                assert accepted.returncode == 0, accepted.stderr
                done = desk.fnctl("invoke", "work", "--async")
                shown = desk.fnctl("queue", "show", "--wait", done.stdout.strip())
                assert json.loads(shown.stdout)["result"]["body"] == "made\n", shown.stderr
                said = [processes(), desk.fnctl("ps", "-o", "json").stdout, json.dumps(running.status())]
                running.stop()
                said.append(running.said.read_text())
            with rig.running(desk, "--clock", "virtual", warm=1) as running:
                assert desk.fnctl("clock", "advance", "2h").returncode == 0
                shown = desk.fnctl("queue", "show", accepted.stdout.strip())
                assert json.loads(shown.stdout)["state"] == "done", shown.stderr
                database.stop()
                refused = desk.fnctl("invoke", "work", "--async")
                assert refused.returncode == 1 and "cannot use the store postgres://fn@" in refused.stderr
                said += [refused.stderr, running.call("work").body.decode()]
                running.stop()
                said.append(running.said.read_text())
            said += [path.read_text(errors="replace") for path in desk.state.rglob("*") if path.is_file()]
            assert not (desk.state / "store.db").exists()
    assert "made\n" in said
    assert [each for each in said if PASSWORD in each or URL_PASSWORD in each] == []
