"""`fnctl key`: the keys that callers of this project's functions show at the gateway."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import FileOption, Format, FormatOption, project_paths
from fnctl.errors import NotFound, UsageError


def add(
    name: Annotated[str, typer.Argument(help="Who uses the key, such as `ci` or `web`.")],
    function: Annotated[
        list[str] | None, typer.Option("--function", metavar="FUNCTION", help="Allow this function only. Repeatable.")
    ] = None,
    signing: Annotated[
        bool, typer.Option("--signing", help="Create a key for `auth: hmac`, which signs requests.")
    ] = False,
    file: FileOption = None,
) -> None:
    """Create a key and print it once. fnctl stores only a hash of it; of a signing key, the key itself.

    A second key of the same name is for rotation: add it, give it to the callers, then remove the older one.

    \b
    Examples:
      fnctl key add ci
      fnctl key add web --function todos
      fnctl key add partner --signing
    """
    from fnctl import config
    from fnctl.control.api_keys import KeyFile
    from fnctl.triggers.http.keyring import KeyKind

    if not name or len(name) > 64 or not name.isprintable():
        raise UsageError(f"`{name[:64]}` is not a name for a key", hint="use up to 64 printable characters")
    known = {each.name for each in config.load(Path.cwd(), file).functions}
    for each in function or ():
        if each not in known:
            raise NotFound(f"no function named {each} in this project", hint=f"there are: {', '.join(sorted(known))}")
    paths = project_paths(file).ensure()
    kind = KeyKind.SIGNING if signing else KeyKind.BEARER
    key, text = KeyFile(paths.keys).add(name, kind, function or (), time.time())
    _tell_run(file)
    output.emit(text)
    what = "signing keys are kept readable by you alone" if signing else "only its hash is kept"
    output.say(f"key {key.id} for {name}; it is shown once: {what}")


def ls(file: FileOption = None, form: FormatOption = Format.TEXT) -> None:
    """List the active keys; never their secrets.

    \b
    Examples:
      fnctl key ls
      fnctl key ls -o json
    """
    from fnctl.control.api_keys import KeyFile

    keys = KeyFile(project_paths(file).keys).keys()
    if form is Format.JSON:
        rows = [
            {
                "id": key.id,
                "name": key.name,
                "kind": str(key.kind),
                "functions": list(key.functions),
                "created": key.created,
            }
            for key in keys
        ]
        output.emit_json(rows)
        return
    table = [(key.id, key.name, str(key.kind), ", ".join(key.functions) or "all", _day(key.created)) for key in keys]
    output.emit(output.table(("ID", "NAME", "KIND", "FUNCTIONS", "CREATED"), table))


def rm(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from `fnctl key ls`.")],
    file: FileOption = None,
) -> None:
    """Remove a key. From then on, requests with it are refused.

    \b
    Examples:
      fnctl key rm 3f2a90c1
    """
    from fnctl.control.api_keys import KeyFile

    key = KeyFile(project_paths(file).keys).remove(identity)
    _tell_run(file)
    output.say(f"removed key {key.id} of {key.name}")


def _tell_run(file: Path | None) -> None:
    """A service that runs takes the change up at once."""
    from fnctl.control import client

    try:
        client.admin(project_paths(file).admin_socket, "POST", "/v1/keys")
    except client.NotListening:
        return


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
