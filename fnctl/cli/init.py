"""`fnctl init`: a new project from a template."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from fnctl.cli import output


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The new project's folder; by default this one.")
    ] = Path(),
    template: Annotated[
        str, typer.Option("--template", "-t", metavar="TEMPLATE", help="What to start from; see --list.")
    ] = "hello-node",
    listing: Annotated[bool, typer.Option("--list", help="List the templates and exit.")] = False,
) -> None:
    """Make a new project from a template. Overwrites nothing.

    \b
    Examples:
      fnctl init hello
      fnctl init todos --template todolist-express
      fnctl init --list
    """
    from fnctl import scaffold
    from fnctl.config.resolve import function_name

    if listing:
        for name in scaffold.templates():
            output.emit(name)
        return
    target = folder.resolve()
    written = scaffold.create(template, target, function_name(target))
    output.say(f"made {os.path.relpath(target)}/ from {template}, {len(written)} files")
    step = "" if target == Path.cwd() else f"cd {os.path.relpath(target)} && "
    output.say(f"\nnext:\n  {step}fnctl run --warm 3")
