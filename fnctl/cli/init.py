"""`fnctl init`: a new project from a template, or a fnctl.yaml for code that is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from fnctl.cli import output
from fnctl.cli.detect import ContractOption, HandlerOption, ManifestOption, RuntimeOption
from fnctl.errors import ConflictError, UsageError


def init(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="The new project's folder; by default this one.")
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", "-t", metavar="TEMPLATE", help="What to start from; see --list.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the templates and exit.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Write a fnctl.yaml for the code in DIR instead; see fnctl detect."),
    ] = None,
    manifest: ManifestOption = None,
    runtime: RuntimeOption = None,
    handler: HandlerOption = None,
    contract: ContractOption = None,
) -> None:
    """Make a new project from a template, or a fnctl.yaml for code that is there. Overwrites nothing.

    \b
    Examples:
      fnctl init hello
      fnctl init todos --template todolist-express
      fnctl init --list
      fnctl init --from .
      fnctl init --from . --contract lambda
    """
    from fnctl import scaffold
    from fnctl.config.detected import function_name

    if listing:
        for name in scaffold.templates():
            output.emit(name)
        return
    if source is not None:
        if folder is not None or template is not None:
            raise UsageError("--from makes a file for code that is there: no FOLDER or --template with it")
        _from(source, manifest, runtime, handler, contract)
        return
    if any(each is not None for each in (manifest, runtime, handler, contract)):
        raise UsageError("--manifest, --runtime, --handler and --contract are for --from", hint="fnctl init --from DIR")
    target, start = (folder or Path()).resolve(), template or "hello-node"
    written = scaffold.create(start, target, function_name(target))
    output.say(f"made {os.path.relpath(target)}/ from {start}, {len(written)} files")
    _next(target)


def _from(source: Path, manifest: str | None, runtime: str | None, handler: str | None, contract: str | None) -> None:
    from fnctl import config
    from fnctl.cli.detect import as_file, look

    target = source.resolve() / config.FILE_NAME
    if target.exists() or target.is_symlink():
        shown = os.path.relpath(target)
        raise ConflictError(f"{shown} is there already", hint="fnctl detect shows what it would be", code="exists")
    found = look(source, manifest, runtime, handler, contract)
    with target.open("x", encoding="utf-8") as file:
        file.write(as_file(found))
    for note in found.notes:
        output.say(f"note: {note}" + (f" ({note.hint})" if note.hint else ""))
    output.say(f"made {os.path.relpath(target)} with {', '.join(found.functions)}")
    _next(target.parent)


def _next(folder: Path) -> None:
    step = "" if folder == Path.cwd() else f"cd {os.path.relpath(folder)} && "
    output.say(f"\nnext:\n  {step}fnctl run --warm 3")
