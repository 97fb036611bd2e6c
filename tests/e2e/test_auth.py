"""Keys, host names and addresses, as a user meets them: on a service that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Desk, Running

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILE = """functions:
  open: {runtime: node24, handler: index.handler}
  shut: {runtime: node24, handler: index.handler, auth: key}
"""
CODE = "exports.handler = async (event) => ({caller: event.headers['x-fnctl-caller'] ?? null})\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    source = tmp_path_factory.mktemp("auth") / "source"
    source.mkdir()
    (source / "fnctl.yaml").write_text(FILE)
    (source / "index.js").write_text(CODE)
    with rig.desk(source) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


def test_a_key_is_made_used_and_taken_back_while_the_service_runs(served: Running) -> None:
    desk = served.desk
    assert served.call("shut").status == 401
    assert served.instances("shut") == []  # nothing was started for it
    made = desk.fnctl("key", "add", "ci", "--function", "shut")
    assert made.returncode == 0, made.stderr
    key = {"Authorization": f"Bearer {made.stdout.strip()}"}
    opened = served.call("shut", headers=key)
    assert opened.status == 200
    listed = desk.fnctl("key", "ls").stdout
    identity = made.stdout.split("_")[1]
    assert identity in listed
    assert made.stdout.strip() not in listed
    assert desk.fnctl("key", "rm", identity).returncode == 0
    assert served.call("shut", headers=key).status == 401


def test_the_user_of_the_service_needs_no_key(served: Running) -> None:
    ended = served.desk.fnctl("invoke", "shut")
    assert ended.returncode == 0, ended.stderr


def test_a_page_that_was_rebound_to_loopback_is_refused(served: Running) -> None:
    refused = served.call("open", headers={"Host": "attacker.example"})
    assert refused.status == 421
    assert refused.error["code"] == "misdirected"
    assert served.call("open", headers={"Host": f"localhost:{served.port}"}).status == 200


def test_beyond_loopback_open_functions_are_not_served(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "fnctl.yaml").write_text(FILE)
    (source / "index.js").write_text(CODE)
    with rig.desk(source) as desk:
        refused = told(desk, "run", "--host", "0.0.0.0", "--port", "0")
        assert "without a key: open" in refused
        assert "--behind-proxy" in refused
        with rig.running(desk, "--host", "0.0.0.0", "shut", warm=0) as running:
            assert running.call("shut").status == 401
            running.stop()
        with rig.running(desk, "--host", "0.0.0.0", "--behind-proxy", "127.0.0.1", warm=0) as running:
            assert running.call("open", headers={"Host": "shop.example"}).status == 200
            running.stop()


def told(desk: Desk, *words: str) -> str:
    ended = desk.fnctl(*words)
    assert ended.returncode == 2, ended.stderr
    return ended.stderr
