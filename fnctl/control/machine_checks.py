"""What `fnctl doctor` checks: pure decisions from facts, each with its fix. doctor.py gathers the facts."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from fnctl.engine.port import EngineFacts
from fnctl.triggers.http.limits import Limits, clients_within

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
        return Finding("runc", Level.WARN, f"version unknown ({version or 'none reported'})", "check `runc --version`")
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
    fix = "use a Docker Engine on this machine: containers reach fnctl over sockets in a mounted folder"
    return Finding("engine socket", Level.FAIL, "the engine is on another machine", fix)


def egress(why: str | None) -> Finding:
    """`why`: what keeps the rules from being set that `network: egress` needs; None where they can be."""
    if why is None:
        return Finding("egress", Level.OK, "functions can be blocked from this machine's own addresses")
    found = f"functions cannot be blocked from this machine's own addresses: {why}"
    fix = "run fnctl as root, with iptables; without, `network: egress` needs `egress: {host: true, link_local: true}`"
    return Finding("egress", Level.WARN, found, fix)


def disk(where: str, free_bytes: float) -> Finding:
    found = f"{free_bytes / 1e9:.1f} GB free at {where}"
    if free_bytes >= LOW_DISK:
        return Finding("disk", Level.OK, found)
    level = Level.FAIL if free_bytes < NO_DISK else Level.WARN
    return Finding("disk", level, found, "free disk space: `fnctl prune --machine --all`, `docker system df`")


def files(limit: int) -> Finding:
    limits = Limits(clients=clients_within(limit))
    files = str(limit) if limit >= 0 else "any number"
    found = f"up to {files}: {limits.clients} client connections, {limits.clients_from('')} of them from one address"
    if limit >= MIN_FILES or limit < 0:
        return Finding("open files", Level.OK, found)
    return Finding("open files", Level.WARN, found, f"ulimit -n {MIN_FILES * 4}")


def calls(root: bool) -> Finding:
    """Whether functions can call each other: fnctl listens inside their sandboxes for that."""
    if root:
        return Finding("function calls", Level.OK, "functions can call each other")
    found = "functions cannot call each other: fnctl may not enter their network namespaces"
    return Finding("function calls", Level.WARN, found, "run fnctl as root, if functions need that")


def home(path: str, linked: str | None) -> list[Finding]:
    """`linked`: why a file of one folder of fnctl's home cannot be hard-linked into another; None where it can."""
    fix = "set FNCTL_HOME to a folder on a local file system that you can write to"
    first = Finding("hard links", Level.FAIL, linked, fix) if linked else Finding("hard links", Level.OK, "possible")
    length = len(path.encode(errors="surrogateescape")) + DEEPEST_SOCKET
    if length <= MAX_SOCKET_PATH:
        return [first]
    found = f"the path {path} is too long for sockets in it ({length} bytes, at most {MAX_SOCKET_PATH})"
    return [first, Finding("home", Level.FAIL, found, "set FNCTL_HOME to a shorter path")]


def images(base: str | None, sandbox: str | None) -> list[Finding]:
    """`base` and `sandbox`: the images' names where they are there."""
    fix = "fnctl setup (or the first `fnctl run` builds it)"
    return [
        Finding(name, Level.OK, found) if found else Finding(name, Level.WARN, "not built yet", fix)
        for name, found in (("base image", base), ("sandbox image", sandbox))
    ]


def leftovers(count: int) -> Finding:
    if count == 0:
        return Finding("leftovers", Level.OK, "no containers of stopped projects")
    return Finding("leftovers", Level.WARN, f"{count} containers of stopped projects", "fnctl prune --machine")


def port(number: int, problem: str | None, ours: bool) -> Finding:
    if problem is None:
        return Finding("port", Level.OK, f"{number} is free")
    if ours:
        return Finding("port", Level.OK, f"{number} is in use, and fnctl is running")
    return Finding("port", Level.WARN, problem, "choose another port: fnctl run --port 9000")
