"""What doctor makes of facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fnctl.cli.doctor import page
from fnctl.control import machine_checks as checks
from fnctl.control.machine_checks import Finding, Level
from fnctl.engine.port import EngineFacts

SOUND = EngineFacts(
    version="29.1.0",
    api_version="1.52",
    os="Linux",
    cpus=2,
    memory_mb=4000,
    storage_driver="overlay2",
    cgroup_version="2",
    runc_version="1.3.3",
    security=("name=seccomp,profile=builtin", "name=apparmor", "name=userns"),
    root_dir="/x",
    local=True,
)


def levels(facts: EngineFacts) -> dict[str, Level]:
    return {each.check: each.level for each in checks.engine(facts) if each.level is not Level.OK}


def test_a_sound_engine_has_nothing_to_fix() -> None:
    assert levels(SOUND) == {}


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("1.1.5", Level.WARN), ("v1.1.15-0-gbc20cb4", Level.WARN), ("1.2.7", Level.WARN), ("1.2.8", None),
        ("1.2.10", None), ("1.3.2", Level.WARN), ("1.3.3", None), ("1.4.0", None), ("", Level.WARN),
        ("N/A", Level.WARN), ("1.4.0-rc.2", Level.WARN), ("v1.4.0-rc.3", None),
    ],
)  # fmt: skip
def test_runc_with_known_escapes(version: str, level: Level | None) -> None:
    assert levels(replace(SOUND, runc_version=version)).get("runc") is level


def test_what_egress_needs_is_told() -> None:
    assert checks.egress(None).level is Level.OK
    lacking = checks.egress("fnctl is not root")
    assert (lacking.level, lacking.fix is not None) == (Level.WARN, True)
    assert "fnctl is not root" in lacking.found


def test_what_is_missing_is_told_with_its_level() -> None:
    bare = replace(SOUND, version="20.10.24", security=(), local=False)
    assert levels(bare) == {
        "engine": Level.WARN,
        "seccomp": Level.FAIL,
        "apparmor": Level.WARN,
        "userns-remap": Level.WARN,
        "engine socket": Level.FAIL,
    }
    assert levels(replace(SOUND, version="19.03.1")) == {"engine": Level.FAIL}


def test_disk_files_home_and_port() -> None:
    assert [checks.disk("/", free).level for free in (9e9, 3e9, 1e8)] == [Level.OK, Level.WARN, Level.FAIL]
    assert [checks.files(limit).level for limit in (65536, -1, 1024)] == [Level.OK, Level.OK, Level.WARN]
    assert checks.files(20_000).found == "up to 20000: 15000 client connections, 3750 of them from one address"
    assert [checks.calls(root).level for root in (True, False)] == [Level.OK, Level.WARN]
    assert [each.level for each in checks.home("/h", None)] == [Level.OK]
    assert [each.level for each in checks.home("/h" * 40, "no")] == [Level.FAIL, Level.FAIL]
    assert [checks.port(80, said, ours).level for said, ours in ((None, False), ("x", True), ("x", False))] == [
        Level.OK, Level.OK, Level.WARN,
    ]  # fmt: skip


def test_everything_that_is_not_well_has_a_fix() -> None:
    bad = [
        checks.python((3, 9), "3.9"), checks.no_engine("no", None), checks.leftovers(2), *checks.images(None, None),
        *checks.engine(replace(SOUND, version="19.1", security=(), local=False, runc_version="")), checks.disk("/", 0),
    ]  # fmt: skip
    assert [each for each in bad if each.level is not Level.OK and not each.fix] == []


def test_the_page_reads_without_colour() -> None:
    found = [Finding("a", Level.OK, "fine"), Finding("long one", Level.FAIL, "broken", "mend it")]
    assert page(found).splitlines() == [
        "ok    a         fine",
        "fail  long one  broken",
        "                fix: mend it",
        "",
        "1 ok, 0 warn, 1 fail",
    ]
