"""`fnctl releases`: the versions that this folder has served, and which one it serves."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fnctl.cli import output
from fnctl.cli.options import Format, FormatOption, project_paths

if TYPE_CHECKING:
    from fnctl.control.versions import History, Version


def releases(
    show: Annotated[
        int | None, typer.Option("--show", metavar="N", min=1, help="Show one version, and what became of it.")
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """List the versions of a release that this folder has served, the newest last.

    \b
    Examples:
      fnctl releases
      fnctl releases --show 3
      fnctl releases -o json
    """
    from fnctl.control import versions

    history = versions.read(project_paths(None).versions)
    if show is not None:
        _show(history, history.find(show), form)
        return
    rows = [_row(history, each) for each in history.versions]
    if form is Format.JSON:
        output.emit_json(rows)
        return
    if not rows:
        output.say("no release was served from this folder; `fnctl run RELEASE` serves one")
        return
    lines = [(row["version"], _holders(history, row["version"]), row["deployed"], row["release"]) for row in rows]
    output.emit(output.table(("VERSION", "", "DEPLOYED", "RELEASE"), lines))


def _row(history: History, each: Version) -> dict[str, Any]:
    return {
        "version": each.number,
        "current": each.number == history.current,
        "aliases": [name for name, one in sorted(history.aliases.items()) if each.number in dict(one.weights)],
        "busy": each.number in history.busy,
        "deployed": _time(each.at),
        "release": each.name,
        "functions": dict(each.bundles),
    }


def _holders(history: History, number: int) -> str:
    return ", ".join(history.holders(number))


def _show(history: History, version: Version, form: Format) -> None:
    row = _row(history, version)
    story = [{"at": _time(at), "text": text} for at, text in version.story]
    if form is Format.JSON:
        output.emit_json({**row, "story": story})
        return
    output.emit(f"version {version.number}  {_holders(history, version.number)}\n{version.name}\n")
    output.emit(
        output.table(("FUNCTION", "BUNDLE"), [(name, digest[7:19]) for name, digest in version.bundles.items()])
    )
    if story:
        output.emit("\n" + "\n".join(f"{line['at']}  {line['text']}" for line in story))


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
