"""`fnctl clock`: the clock of timers, retries and delays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import FileOption, Format, FormatOption, duration, project_paths
from fnctl.control import client


def show(file: FileOption = None, form: FormatOption = Format.TEXT) -> None:
    """Show the time, and when each timer is due next.

    \b
    Examples:
      fnctl clock show
    """
    _print(_clock(file, "GET", "/v1/clock", client.ADMIN_TIMEOUT_S), form)


def advance(
    by: Annotated[str, typer.Argument(metavar="DURATION", help="How far to advance, such as 90s, 12h or 30d.")],
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Advance a virtual clock. Returns when everything that became due is done, each at its own time.

    The service must have been started with `fnctl run --clock virtual`.

    \b
    Examples:
      fnctl run -d --clock virtual && fnctl clock advance 30d
    """
    _print(_clock(file, "POST", f"/v1/clock?advance={duration('DURATION', by)}", None), form)


def _clock(file: Any, method: str, target: str, timeout_s: float | None) -> dict[str, Any]:
    paths = project_paths(file)
    try:
        return client.admin(paths.admin_socket, method, target, timeout_s)
    except client.NotListening:
        raise not_running(paths, file) from None


def _print(said: dict[str, Any], form: Format) -> None:
    if form is Format.JSON:
        output.emit_json(said)
        return
    output.emit(f"{_shown(said['now'])} ({'virtual' if said['virtual'] else 'real'})")
    if said["timers"]:
        rows = [(each["function"], each["timer"], _shown(each["next"])) for each in said["timers"]]
        output.emit("\n" + output.table(("FUNCTION", "TIMER", "NEXT"), rows))


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
