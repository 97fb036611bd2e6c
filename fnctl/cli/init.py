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
        Path | None, typer.Argument(metavar="FOLDER", help="Folder of the new project (default: the current folder).")
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", "-t", metavar="TEMPLATE", help="Template to copy; --list shows all.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the templates and exit.")] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="DIR", help="Write a fnctl.yaml for the code in DIR instead of copying a template."
        ),
    ] = None,
    manifest: ManifestOption = None,
    runtime: RuntimeOption = None,
    handler: HandlerOption = None,
    contract: ContractOption = None,
) -> None:
    """Create a project from a template, or a fnctl.yaml for existing code. Never overwrites a file.

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
            raise UsageError("--from cannot be used with FOLDER or --template", hint="fnctl init --from DIR")
        _from(source, manifest, runtime, handler, contract)
        return
    if any(each is not None for each in (manifest, runtime, handler, contract)):
        raise UsageError("--manifest, --runtime, --handler and --contract need --from", hint="fnctl init --from DIR")
    target, start = (folder or Path()).resolve(), template or "hello-node"
    written = scaffold.create(start, target, function_name(target))
    output.say(f"created {os.path.relpath(target)}/ from template {start} ({len(written)} files)")
    _next(target)


def _from(source: Path, manifest: str | None, runtime: str | None, handler: str | None, contract: str | None) -> None:
    from fnctl import config
    from fnctl.cli.detect import as_file, look
    from fnctl.triggers.http.routes import Routes

    target = source.resolve() / config.FILE_NAME
    if target.exists() or target.is_symlink():
        shown = os.path.relpath(target)
        raise ConflictError(
            f"{shown} already exists", hint="`fnctl detect` shows what fnctl would write", code="exists"
        )
    found = look(source, manifest, runtime, handler, contract)
    with target.open("x", encoding="utf-8") as file:
        file.write(as_file(found))
    try:
        Routes(config.load(target.parent, target).functions)  # what is written can be run, or is not written
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    if found.env_file:
        output.say(f"note: the functions keep the variables of {found.env_file} (`env_file`)")
    for told in found.left_out:
        output.say(f"note: {told}")
    for note in found.notes:
        output.say(f"note: {note}" + (f" ({note.hint})" if note.hint else ""))
    output.say(f"created {os.path.relpath(target)} with {', '.join(found.functions)}{found.mapped}")
    _next(target.parent)


def _next(folder: Path) -> None:
    step = "" if folder == Path.cwd() else f"cd {os.path.relpath(folder)} && "
    output.say(f"\nnext:\n  {step}fnctl run --warm 3")
