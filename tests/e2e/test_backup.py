"""A project's state is copied while it runs and is written to, and serves with another home: all of one moment."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support import homes
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

FILE = """name: shop
functions:
  notes: {runtime: node24, handler: index.handler, network: services, auth: key}
services:
  data: {type: data}
"""
CODE = """
exports.handler = async ({method, path, body}) => {
  if (path === '/') return {statusCode: 200, body: 'up'};
  if (method === 'POST') {
    const answer = await fetch('http://data/notes', {method, body, headers: {'content-type': 'application/json'}});
    return {statusCode: answer.status, body: ''};
  }
  const answer = await fetch('http://data/notes?_limit=1&_sort=-number');
  const [last] = await answer.json();
  return {statusCode: 200, body: {count: Number(answer.headers.get('x-total-count')), last: last?.number ?? 0}};
};
"""


class Writers:
    """Write records, one after the other, until told to stop; what was accepted stands in `written`."""

    def __init__(self, running: Running, key: dict[str, str], last: int = 0) -> None:
        self._number = last
        self._running, self._key = running, key
        self._ended = threading.Event()
        self.written: list[int] = []
        self.failed: list[bytes] = []
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writers:
        self._thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def more(self) -> None:
        count = len(self.written)
        until(lambda: len(self.written) > count + 10 or self.failed, f"records to be written: {self.failed}")
        assert not self.failed

    def _write(self) -> None:
        while not self._ended.is_set():
            self._number += 1
            body = json.dumps({"number": self._number}).encode()
            answer = self._running.call("notes", "/notes", method="POST", body=body, headers=self._key)
            if answer.status == 201:
                self.written.append(self._number)
            else:
                self.failed.append(answer.body)


def kept(running: Running, key: dict[str, str]) -> int:
    """How many records the service has: those with the numbers from 1 on."""
    found = running.call("notes", "/notes", headers=key).json
    assert found["count"] == found["last"], "all that was written until then, and nothing of later"
    return int(found["count"])


def test_it_serves_with_another_home_what_it_had_at_the_moment_of_the_backup(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "fnctl.yaml").write_text(FILE)
    (source / "index.js").write_text(CODE)
    with rig.desk(source) as desk:
        file = desk.home.parent / "shop.backup"
        with rig.running(desk, warm=1) as running:
            key = {"Authorization": f"Bearer {desk.fnctl('key', 'add', 'ci').stdout.strip()}"}
            accepted = desk.fnctl("invoke", "notes", "--async", "--delay", "1h").stdout.strip()
            with Writers(running, key) as writers:
                before = list(writers.written)
                made = desk.fnctl("backup", str(file), "-o", "json")
                assert made.returncode == 0, made.stderr
                after = list(writers.written)
                writers.more()
            assert not writers.failed, "calls wait while the service stands still"
            assert [row["state"] for row in running.status()["services"]] == ["up"]
            assert running.status()["services"][0]["restarts"] == 0
            parts = {part["name"] for part in json.loads(made.stdout)["parts"]}
            assert parts == {"state/store.db", "state/keys.json", "state/releases/notes.json", "volumes/data.tar"}
            assert file.stat().st_mode & 0o777 == 0o600
            assert desk.fnctl("backup", str(file)).returncode == 1, "it is there already"
            refused = desk.fnctl("restore", "--yes", str(file))
            assert refused.returncode == 1 and "already running" in refused.stderr
            running.stop()
        assert list(file.parent.glob(".shop*")) == []

        other = replace(desk, home=homes.made(desk.home.parent / "other"))
        damaged = file.with_name("damaged")
        damaged.write_bytes(file.read_bytes()[:-20_000])
        refused = other.fnctl("restore", str(damaged))
        assert refused.returncode == 1 and "cut short" in refused.stderr, refused.stderr
        assert not (other.state / "store.db").exists() and not (other.state / "keys.json").exists()
        restored = other.fnctl("restore", str(file))
        assert restored.returncode == 0, restored.stderr
        with rig.running(other, warm=1) as running:
            found = kept(running, key)
            assert before[-1] <= found <= after[-1] + 1
            assert json.loads(other.fnctl("queue", "show", accepted).stdout)["state"] == "waiting"
            assert running.call("notes").status == 401
            with Writers(running, key, found):
                pass
            assert kept(running, key) > found
            running.stop()
        again = other.fnctl("restore", str(file))
        assert again.returncode == 2 and "pass --yes" in again.stderr, again.stderr
        replaced = other.fnctl("restore", "--yes", str(file))
        assert replaced.returncode == 0, replaced.stderr
        with rig.running(other, warm=1) as running:
            assert kept(running, key) == found
            running.stop()
        assert [path.name for path in other.state.glob(".restore*")] == []
        for each in (desk, other):
            assert each.fnctl("prune", "--all", "--volumes", "--yes").returncode == 0
