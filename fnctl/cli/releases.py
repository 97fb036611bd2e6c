"""`fnctl releases`: the versions that this folder has served, and which one it serves."""

from __future__ import annotations

from datetime import datetime

from fnctl.cli import output
from fnctl.cli.options import Format, FormatOption, project_paths


def releases(form: FormatOption = Format.TEXT) -> None:
    """List the versions of a release that this folder has served, the newest last.

    \b
    Examples:
      fnctl releases
      fnctl releases -o json
    """
    from fnctl.control import versions

    history = versions.read(project_paths(None).versions)
    rows = [
        {
            "version": each.number,
            "current": each.number == history.current,
            "deployed": datetime.fromtimestamp(each.at).astimezone().isoformat(timespec="seconds"),
            "release": each.name,
            "functions": dict(each.bundles),
        }
        for each in history.versions
    ]
    if form is Format.JSON:
        output.emit_json(rows)
        return
    if not rows:
        output.say("no release was served from this folder; `fnctl run RELEASE` serves one")
        return
    lines = [(row["version"], "current" if row["current"] else "", row["deployed"], row["release"]) for row in rows]
    output.emit(output.table(("VERSION", "", "DEPLOYED", "RELEASE"), lines))
