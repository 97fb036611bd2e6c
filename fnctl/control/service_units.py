"""Installing and removing the units of a service: files in systemd's folder, and what `systemctl` is asked to do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fnctl.control.units import SYSTEM
from fnctl.errors import FnctlError, NotFound, UsageError

BOOTED = Path("/run/systemd/system")  # there where systemd is the service manager (sd_booted(3))
# Enabling starts the service, and that waits until it serves: images may have to be made.
SYSTEMCTL_S = 1800.0
KINDS = ("socket", "service")

Ask = Callable[[Sequence[str]], None]


def folder(*, user_units: bool, environ: Mapping[str, str] = os.environ) -> Path:
    """Where systemd looks for units that somebody has installed."""
    if not user_units:
        return SYSTEM
    config = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME') or Path.home()}/.config"
    return Path(config) / "systemd" / "user"


def check(*, user_units: bool, booted: Path = BOOTED, uid: int | None = None) -> None:
    """UsageError where no unit can be installed on this machine, by this user."""
    if not booted.is_dir():
        raise UsageError(
            "systemd is not the service manager of this machine",
            hint="`fnctl install-service --dry-run` shows the units; `fnctl run -d` serves in the background",
        )
    if not user_units and (os.getuid() if uid is None else uid) != 0:
        raise UsageError(
            f"no permission to install units in {SYSTEM}",
            hint="use sudo, or --user for a service of your own",
        )


def systemctl(*, user_units: bool) -> Ask:
    """Asks systemd. FnctlError with its words where it refuses."""

    def ask(words: Sequence[str]) -> None:
        command = ["systemctl", *(["--user"] if user_units else []), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FnctlError(f"`{' '.join(command)}` failed: {error}") from error
        if done.returncode:
            what = f"`{' '.join(command)}` failed with exit code {done.returncode}"
            raise FnctlError(what, detail=(done.stderr or done.stdout).strip() or None)

    return ask


def install(where: Path, texts: Mapping[str, str], ask: Ask) -> list[Path]:
    """Write the units, replace those of the same names, and start them, now and at each boot. What was written.

    A service that runs is restarted where its units have changed; its socket stays where only the service has."""
    where.mkdir(parents=True, exist_ok=True)
    changed = [name for name, text in texts.items() if _differs(where / name, text)]
    written = []
    for name, text in texts.items():
        partial = where / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.chmod(0o644)
        written.append(partial.replace(where / name))
    ask(["daemon-reload"])
    if changed:
        socket = any(name.endswith(".socket") for name in changed)
        ask(["try-restart", *(name for name in texts if socket or name.endswith(".service"))])
    ask(["enable", "--now", *texts])
    return written


def _differs(unit: Path, text: str) -> bool:
    """It is there, and says something else."""
    try:
        return unit.read_text(encoding="utf-8") != text
    except FileNotFoundError:
        return False


def remove(where: Path, name: str, ask: Ask) -> list[Path]:
    """Stop the service, and remove its units; what was removed. NotFound where there are none."""
    units = [f"{name}.{kind}" for kind in KINDS]
    there = [where / unit for unit in units if (where / unit).exists()]
    if not there:
        raise NotFound(
            f"no service of this project is installed: {where / units[1]}", hint="add --user, or leave it out"
        )
    ask(["disable", "--now", *(path.name for path in there)])  # the socket first: it would start the service again
    for path in there:
        path.unlink()
    ask(["daemon-reload"])
    return there
