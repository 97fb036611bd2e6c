"""`fnctl alias`: names for versions that run next to the current one, and how calls are split between them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import Format, FormatOption, project_paths
from fnctl.control import client
from fnctl.errors import UsageError

WAIT_S = 300.0


def alias(
    shares: Annotated[
        str | None, typer.Argument(metavar="[NAME=VERSIONS]", help="prod=8, or prod=7:90,8:10 by weight.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="What keeps a caller on one version: cookie, cookie:NAME, header:NAME, or key (see `fnctl key`).",
        ),
    ] = "",
    remove: Annotated[str, typer.Option("--remove", metavar="NAME", help="Remove this alias.")] = "",
    form: FormatOption = Format.TEXT,
) -> None:
    """Name versions of the running release, and split calls between them. Without arguments, list the aliases.

    Call a function under an alias at ALIAS--FUNCTION.localhost, or with the header `X-Fnctl-Alias: ALIAS`. Calls
    without an alias go to the version that was deployed last (`latest`).

    \b
    Examples:
      fnctl alias prod=7
      fnctl alias prod=7:90,8:10 --by cookie
      fnctl alias
      fnctl alias --remove prod
    """
    from fnctl.control import versions

    if shares and remove:
        raise UsageError("NAME=VERSIONS and --remove cannot be used together", hint="run two commands")
    folders = project_paths(None)
    if shares or remove:
        name, _, what = (shares or f"{remove}=").partition("=")
        versions.check_name(name)
        if shares:
            versions.alias_of(what)
        asked = {"name": name, "versions": what, "by": by}
        try:
            client.admin(folders.admin_socket, "POST", f"/v1/alias?{urlencode(asked)}", timeout_s=WAIT_S)
        except client.NotListening:
            raise not_running(folders) from None
    history = versions.read(folders.versions)
    rows = [
        {"alias": name, "versions": {str(n): weight for n, weight in each.weights}, "by": each.by}
        for name, each in sorted(history.aliases.items())
    ]
    if form is Format.JSON:
        output.emit_json(rows)
        return
    lines = [(name, str(each), each.by or "-") for name, each in sorted(history.aliases.items())]
    if history.current:
        lines.append((versions.LATEST, str(history.current), "-"))
    output.emit(output.table(("ALIAS", "VERSIONS", "BY"), lines))
