"""`fnctl build`: bring bundles and images up to the functions' folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import FileOption, Format, FormatOption
from fnctl.errors import UsageError

if TYPE_CHECKING:
    from fnctl.builder.builds import Built
    from fnctl.builder.plan import Step
    from fnctl.control.prepare import Selection


def build(
    functions: Annotated[
        list[str] | None, typer.Argument(metavar="FUNCTION", help="Functions to build (default: all).")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Build twice, with fresh dependencies, and compare the results.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps without running them.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Rebuild everything, including dependencies.")] = False,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Build functions: code, dependencies and a container image. Skips what has not changed.

    The image needs no fnctl to run: it serves the function on $PORT.

    \b
    Examples:
      fnctl build
      fnctl build todos --no-cache
      fnctl build --dry-run
      docker run --rm -p 8080:8080 -e PORT=8080 IMAGE   # IMAGE is in the output of fnctl build
    """
    from fnctl import catalog, config
    from fnctl.builder.plan import Goal
    from fnctl.control import prepare

    if verify and dry_run:
        raise UsageError("--verify and --dry-run cannot be used together", hint="use one of them")
    runtimes = catalog.runtimes()
    project = config.load(Path.cwd(), file, runtimes=runtimes)
    output.notes(project.notes)
    selection = prepare.select(project, functions or [], runtimes)
    if dry_run:
        _show_steps(prepare.steps(selection, Goal.SHIP, force=no_cache), form)
        return
    built = None if no_cache or verify else prepare.unchanged(selection, Goal.SHIP)
    if built is None:
        built = _make(selection, force=no_cache, verify=verify)
    elif form is Format.TEXT:
        output.say("nothing changed since the last build")
    _show(built, form)


def _make(selection: Selection, *, force: bool, verify: bool) -> dict[str, Built]:
    from fnctl.control import prepare
    from fnctl.engine.docker import DockerEngine

    engine = DockerEngine()
    try:
        with output.progress() as progress:
            return prepare.to_build(selection, engine, progress, force=force, verify=verify)
    finally:
        engine.close()


def _show(built: Mapping[str, Built], form: Format) -> None:
    if form is Format.JSON:
        output.emit_json([_row(each) for each in built.values()])
        return
    rows = [
        (
            name,
            _version(each.bundle.digest),
            output.megabytes(each.bundle.size_bytes),
            each.bundle.files,
            _cached_words(each),
            each.image,
        )
        for name, each in built.items()
    ]
    output.emit(output.table(("FUNCTION", "VERSION", "SIZE", "FILES", "CACHED", "IMAGE"), rows))


def _row(built: Built) -> dict[str, object]:
    bundle = built.bundle
    return {
        "function": bundle.function,
        "version": _version(bundle.digest),
        "digest": bundle.digest,
        "runtime": bundle.runtime,
        "size_bytes": bundle.size_bytes,
        "files": bundle.files,
        "bundle": str(bundle.root),
        "image": built.image,
        "cached": built.cached,
        "install_cached": built.install_cached,
    }


def _version(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _cached_words(built: Built) -> str:
    if built.cached:
        return "all"
    return "dependencies" if built.install_cached else "nothing"


def _show_steps(steps: Sequence[Step], form: Format) -> None:
    if form is Format.JSON:
        output.emit_json(
            [
                {"function": step.function, "action": str(step.action), "what": step.what, "cached": step.cached}
                for step in steps
            ]
        )
        return
    words = {True: "cached", False: "to do", None: "if needed"}
    rows = [(step.function or "(all)", step.action, step.what, words[step.cached]) for step in steps]
    output.emit(output.table(("FUNCTION", "STEP", "WHAT", "STATE"), rows))
