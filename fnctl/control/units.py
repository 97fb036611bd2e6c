"""The systemd units that serve a project, as text. Pure; installing them is in service_units.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from fnctl.errors import UsageError

TEMPLATES = Path(__file__).parent
SYSTEM = Path("/etc/systemd/system")
_HOMES = tuple(PurePath(each) for each in ("/home", "/root", "/run/user"))  # what ProtectHome= is about
_TAKEN = {
    "--host": "it is --host of install-service",
    "--port": "it is --port of install-service",
    "-p": "it is --port of install-service",
    "--file": "it is --file of install-service",
    "-f": "it is --file of install-service",
    "--detach": "systemd runs the service in the background",
    "-d": "systemd runs the service in the background",
    "--watch": "it is for development: `fnctl reload` applies changes",
    "-w": "it is for development: `fnctl reload` applies changes",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service as its user wants it. `user_units`: of the user's own systemd, not of the machine's."""

    project: str
    place: PurePath  # the working folder: a link in it stays a link
    file: PurePath | None  # fnctl.yaml, where it was named
    home: PurePath  # FNCTL_HOME
    program: Sequence[str]  # what starts fnctl
    host: str = "127.0.0.1"
    port: int = 8080
    run_as: str = "root"
    user_units: bool = False
    journal: bool = False  # what functions print goes to the journal, too
    options: Sequence[str] = ()  # further ones of `fnctl run`
    docker_host: str = ""
    folder: PurePath = SYSTEM

    @property
    def name(self) -> str:
        """Of the units, without their suffix."""
        return unit_name(self.project)


def unit_name(project: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", project).strip("-.") or "project"
    return f"fnctl-{plain[:200]}"


def texts(wanted: Wanted) -> dict[str, str]:
    """The units, by their file's name. UsageError for options that a service cannot have."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    check_options(wanted.options)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {"specifiers": _specifiers, "quoted": _quoted, "command": _command}
    said = _said(wanted)
    return {
        f"{wanted.name}.{kind}": environment.get_template(f"unit.{kind}.j2").render(said)
        for kind in ("socket", "service")
    }


def check_options(options: Iterable[str]) -> None:
    for option in options:
        word = option.partition("=")[0]
        if word in _TAKEN:
            raise UsageError(f"{word} cannot be given to the service: {_TAKEN[word]}")


def _said(wanted: Wanted) -> dict[str, object]:
    named = [] if wanted.file is None else ["--file", str(wanted.file)]
    quiet = [] if wanted.journal else ["--quiet"]
    settings = [("FNCTL_HOME", str(wanted.home))]
    if wanted.docker_host:
        settings.append(("DOCKER_HOST", wanted.docker_host))
    host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    config = "%h/.config" if wanted.user_units else "/etc"
    return {
        "name": wanted.name,
        "folder": wanted.folder,
        "project": wanted.project,
        "user_units": wanted.user_units,
        "run_as": wanted.run_as,
        "place": wanted.place,
        "environment": settings,
        "environment_file": _Verbatim(f"{config}/fnctl/{wanted.name.removeprefix('fnctl-')}.env"),
        "start": [*wanted.program, "run", *quiet, *named, *wanted.options],
        "reload": [*wanted.program, "reload", *named],
        "listen": f"{host}:{wanted.port}",
        "in_home": any(above in (each, *each.parents) for above in _HOMES for each in (wanted.home, wanted.place)),
    }


class _Verbatim(str):
    """It has specifiers on purpose."""


def _specifiers(value: object) -> str:
    """systemd expands `%h` and the like in most values."""
    return str(value) if isinstance(value, _Verbatim) else str(value).replace("%", "%%")


def _quoted(text: str) -> str:
    """One word of a line that is split into words (systemd.syntax(7))."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return f'"{escaped}"' if re.search(r"[^A-Za-z0-9_@%+=:,./\\-]", escaped) or not escaped else escaped


def _command(words: Sequence[str]) -> str:
    return " ".join(_quoted(word).replace("$", "$$") for word in words)
