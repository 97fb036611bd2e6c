"""What `fnctl doctor` checks: pure decisions from facts, each with its fix. doctor.py gathers the facts."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from fnctl.engine.base import EngineFacts

MIN_ENGINE = (20, 10)
MAINTAINED_ENGINE = (25, 0)  # branches below get no security fixes any more
MIN_PYTHON = (3, 11)
MIN_FILES = 4096  # file descriptors: a connection a request in flight, on both sides of the gateway
LOW_DISK, NO_DISK = 5e9, 1e9
MAX_SOCKET_PATH = 107
# The longest that fnctl puts below its home: a slot's socket. Slots are numbered; a run that makes a million is rare.
DEEPEST_SOCKET = len("/projects/0123456789ab/slots/123456/supervisor.sock")

# First runc of each branch without CVE-2025-31133, -52565 and -52881, by which a container writes to its host.
FIXED_RUNC = {(1, 2): (1, 2, 8), (1, 3): (1, 3, 3)}
UNFIXED_RUNC = re.compile(r"v?1\.4\.0-rc\.?[12]\b")  # and the candidates of the one after


class Level(enum.StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is what to do about it; None where all is well."""

    check: str
    level: Level
    found: str
    fix: str | None = None


def numbers(version: str) -> tuple[int, ...]:
    """(1, 1, 5) of "v1.1.5-0-gf19387a6"; empty where there is none."""
    found = re.match(r"\D*(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def python(version: tuple[int, ...], text: str) -> Finding:
    if version >= MIN_PYTHON:
        return Finding("python", Level.OK, text)
    return Finding("python", Level.FAIL, text, "install Python 3.11 or later")


def engine(facts: EngineFacts) -> list[Finding]:
    """What the engine says of itself."""
    return [_version(facts), _runc(facts.runc_version), *_security(facts.security), _cgroup(facts), _reach(facts)]


def no_engine(message: str, hint: str | None) -> Finding:
    return Finding("engine", Level.FAIL, message, hint or "start Docker, or point DOCKER_HOST at an engine")


def _version(facts: EngineFacts) -> Finding:
    found = f"Docker {facts.version} (API {facts.api_version}), {facts.os}, {facts.storage_driver}"
    if numbers(facts.version) < MIN_ENGINE:
        return Finding("engine", Level.FAIL, found, "update Docker to 20.10 or later")
    if numbers(facts.version) < MAINTAINED_ENGINE:
        return Finding("engine", Level.WARN, f"{found}: no longer maintained", "update Docker")
    return Finding("engine", Level.OK, found)


def _runc(version: str) -> Finding:
    parsed = numbers(version)
    if not parsed:
        return Finding("runc", Level.WARN, f"version unknown ({version or 'not told'})", "check `runc --version`")
    branch = parsed[:2]
    old = branch < min(FIXED_RUNC) or (branch in FIXED_RUNC and parsed < FIXED_RUNC[branch])
    if old or UNFIXED_RUNC.match(version):
        fix = "update runc to 1.2.8, 1.3.3 or later"
        return Finding("runc", Level.WARN, f"{version}: containers can escape (CVE-2025-31133)", fix)
    return Finding("runc", Level.OK, version)


def _security(options: tuple[str, ...]) -> list[Finding]:
    names = {option.split(",")[0].removeprefix("name=") for option in options}
    apart = names & {"userns", "rootless"}
    return [
        _present("seccomp", "seccomp" in names, Level.FAIL, "use a kernel and an engine with seccomp"),
        _present(
            "apparmor", bool(names & {"apparmor", "selinux"}), Level.WARN, "enable AppArmor or SELinux on the host"
        ),
        _present(
            "userns-remap",
            bool(apart),
            Level.WARN,
            'set "userns-remap": "default" in daemon.json, or run Docker rootless',
        ),
    ]


def _present(check: str, there: bool, otherwise: Level, fix: str) -> Finding:
    return Finding(check, Level.OK, "on") if there else Finding(check, otherwise, "off", fix)


def _cgroup(facts: EngineFacts) -> Finding:
    return Finding("cgroup", Level.OK, f"version {facts.cgroup_version}")


def _reach(facts: EngineFacts) -> Finding:
    if facts.local:
        return Finding("engine socket", Level.OK, "on this machine")
    fix = "use an engine on this machine: sandboxes reach fnctl over sockets in a mounted folder"
    return Finding("engine socket", Level.FAIL, "the engine is on another machine", fix)


def disk(where: str, free_bytes: float) -> Finding:
    found = f"{free_bytes / 1e9:.1f} GB free at {where}"
    if free_bytes >= LOW_DISK:
        return Finding("disk", Level.OK, found)
    level = Level.FAIL if free_bytes < NO_DISK else Level.WARN
    return Finding("disk", level, found, "make room: `fnctl prune --all`, `docker system df`")


def files(limit: int) -> Finding:
    if limit >= MIN_FILES:
        return Finding("open files", Level.OK, f"up to {limit}")
    return Finding("open files", Level.WARN, f"up to {limit}", f"ulimit -n {MIN_FILES * 4}")


def home(path: str, linked: str | None) -> list[Finding]:
    """`linked`: why a file of one folder of fnctl's home cannot be hard-linked into another; None where it can."""
    fix = "set FNCTL_HOME to a folder on one local file system"
    first = Finding("hard links", Level.FAIL, linked, fix) if linked else Finding("hard links", Level.OK, "possible")
    length = len(path.encode(errors="surrogateescape")) + DEEPEST_SOCKET
    if length <= MAX_SOCKET_PATH:
        return [first]
    found = f"{path} is too long a path for the sockets below it ({length} bytes of {MAX_SOCKET_PATH})"
    return [first, Finding("home", Level.FAIL, found, "set FNCTL_HOME to a shorter path")]


def images(base: str | None, sandbox: str | None) -> list[Finding]:
    """`base` and `sandbox`: the images' names where they are there."""
    fix = "fnctl setup (a first `fnctl run` makes it too, and takes longer for it)"
    return [
        Finding(name, Level.OK, found) if found else Finding(name, Level.WARN, "not made yet", fix)
        for name, found in (("base image", base), ("sandbox image", sandbox))
    ]


def leftovers(count: int) -> Finding:
    if count == 0:
        return Finding("leftovers", Level.OK, "no container without a service")
    return Finding("leftovers", Level.WARN, f"{count} containers without a service", "fnctl prune")


def port(number: int, problem: str | None, ours: bool) -> Finding:
    if problem is None:
        return Finding("port", Level.OK, f"{number} is free")
    if ours:
        return Finding("port", Level.OK, f"{number} is in use; a fnctl service runs")
    return Finding("port", Level.WARN, problem, "fnctl run --port ANOTHER")
