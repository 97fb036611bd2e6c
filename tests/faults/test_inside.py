"""What a function sees of others and of the host, and what it can put in the place of what the host opens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.faults.rig import Running
from tests.support.command import docker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_a_function_sees_only_itself(fnctl: Running) -> None:
    seen = fnctl.call("spy").json
    assert seen["uid"] >= 70_000
    its_own = {"supervisor.sock", "agent.sock", "data.sock", "log.sock", "hosts", "passwd", "group", "app"}
    assert set(seen["fn"]) - {"ahead"} == its_own  # `ahead`: where the instance had read this very bundle's cache
    host = {name for name in os.environ if name not in ("HOME", "PATH", "LANG", "PWD", "SHLVL", "_", "LC_CTYPE")}
    assert not host & set(seen["environment"])
    assert [name for name in seen["environment"] if name.startswith("FNCTL")] == ["FNCTL_URL"]
    others = {function["name"] for function in fnctl.status()["functions"]} - {"spy"}
    assert not [line for line in seen["arguments"] for name in others if name in line.split("\0")]
    assert not seen["docker"]


def test_the_mounts_of_a_sandbox_tell_no_path_of_the_user(fnctl: Running) -> None:
    """Whose home it is, and which project, stands in none; where its slot is, only in random letters."""
    mounts = fnctl.call("spy").json["mounts"]
    assert " /fn " in mounts
    named = [line for line in mounts.splitlines() if str(fnctl.desk.home) in line or fnctl.desk.state.name in line]
    assert named == []


def test_a_function_without_network_reaches_nothing(fnctl: Running) -> None:
    seen = fnctl.call("spy").json
    assert seen["outside"] == seen["metadata"] == "Network is unreachable"


def test_what_the_host_opens_cannot_be_replaced(fnctl: Running) -> None:
    said = fnctl.call("swap").json
    assert set(said.values()) <= {"Read-only file system", "Permission denied", "Operation not permitted"}, said
    assert fnctl.call("harmless-python").status == 200


def test_each_sandbox_has_a_user_of_its_own(fnctl: Running) -> None:
    fnctl.call("harmless")
    fnctl.call("harmless-python")
    fnctl.audit()
    sandboxes = [row["sandbox"] for row in fnctl.status()["instances"]]
    users = docker("inspect", "--format", "{{.Config.User}}", *sandboxes).split()
    assert len(users) == len(set(users)) >= 2


def test_a_secret_in_the_environment_shows_nowhere_else(fnctl: Running, canary: str) -> None:
    assert fnctl.call("canary").body == b"%d" % len(canary)
    crash = fnctl.call("canary", "/?crash=1")
    assert crash.status == 502
    sandboxes = [row["sandbox"] for row in fnctl.instances("canary")]
    assert [place for place, text in places(fnctl, sandboxes, crash.body).items() if canary in text] == []


def test_a_secret_as_a_file_shows_nowhere_else(fnctl: Running, canary: str) -> None:
    """Each kind of agent finds it, again after the sandbox was wiped; it is in no place but the user's and the slot."""
    mode = 0o400 if os.getuid() == 0 else 0o444  # another user can give nothing away; the folders above keep others out
    unwritable = dict.fromkeys(("write", "remove"), "Read-only file system")
    held = {"length": len(canary), "mode": oct(mode), "bundled": False, **unwritable}
    for function in ("keeper", "keeper-once", "keeper-once"):
        assert fnctl.call(function).json == held
    assert [fnctl.call("keeper-node").json["length"] for _ in range(2)] == [len(canary)] * 2
    crash = fnctl.call("keeper", "/?crash=1")
    assert crash.status == 502
    sandboxes = [row["sandbox"] for row in fnctl.status()["instances"] if str(row["function"]).startswith("keeper")]
    shown = places(fnctl, sandboxes, crash.body)
    assert [place for place, text in shown.items() if canary in text] == []
    slots = (fnctl.desk.state / "slots").resolve()
    kept = [*fnctl.desk.home.rglob("*"), *slots.rglob("*")]
    holding = [path for path in kept if path.is_file() and canary.encode() in path.read_bytes()]
    assert holding
    for path in holding:
        assert path.relative_to(slots).parts[1:] == ("secrets", "canary")
        assert path.stat().st_mode & 0o777 == mode
    for function in ("keeper", "keeper-once", "keeper-node"):
        fnctl.reap(function)
    fnctl.audit()
    assert [path for path in holding if path.exists()] == []


def test_a_secret_may_change_without_a_build(fnctl: Running, canary: str) -> None:
    kept = fnctl.desk.project / "python" / "canary.txt"
    try:
        kept.write_text("short")
        assert fnctl.call("keeper").json["length"] == len("short")
    finally:
        kept.write_text(canary)
        fnctl.reap("keeper")


def places(fnctl: Running, sandboxes: list[str], answer: bytes) -> dict[str, str]:
    """Where a secret must not be, by what people call it: what stands there now."""
    images = docker("inspect", "--format", "{{.Image}}", *sandboxes).split()
    fnctl.audit()
    return {
        "an answer": answer.decode(),
        "docker inspect": docker("inspect", *sandboxes),
        "the image": docker("inspect", *images) + docker("history", "--no-trunc", images[0]),
        "the status": json.dumps(fnctl.status()),
        "what fnctl says": fnctl.said.read_text(),
        "a command line": "".join(arguments(path) for path in Path("/proc").glob("[0-9]*/cmdline")),
        "the logs": "".join(path.read_text() for path in (fnctl.desk.state / "logs").iterdir()),
        "the record of a build": "".join(path.read_text() for path in (fnctl.desk.state / "releases").iterdir()),
    }


def arguments(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:  # it has ended meanwhile
        return ""
