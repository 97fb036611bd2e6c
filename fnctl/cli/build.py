"""`fnctl build`: bring bundles and images up to the functions' folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from fnctl import assets
from fnctl.build import execute
from fnctl.build.execute import Built
from fnctl.cli import output
from fnctl.cli.options import FileOption, Format, FormatOption
from fnctl.errors import BuildError, NotFound, UsageError
from fnctl.model import Function, Project, RuntimeSpec


def build(
    functions: Annotated[
        list[str] | None, typer.Argument(metavar="FUNCTION", help="Functions to build; all where none is named.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Build twice, dependencies too, and compare the results.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps and do none.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Make everything anew, dependencies too.")] = False,
    file: FileOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Build functions: code, dependencies, and an image to ship. What has not changed is not made again.

    \b
    Examples:
      fnctl build
      fnctl build todos --no-cache
      fnctl build --dry-run
      docker run --rm -p 8080:8080 -e PORT=8080 IMAGE   # an image that `fnctl build` lists
    """
    from fnctl import config

    if verify and dry_run:
        raise UsageError("--verify builds, --dry-run does not", hint="give one of them")
    runtimes = assets.runtimes()
    project = config.load(Path.cwd(), file, runtimes=runtimes)
    output.notes(project.notes)
    chosen = _chosen(project, functions or [])
    if dry_run:
        _show_steps(chosen, runtimes, project, form)
        return
    built = None if no_cache or verify else _nothing_to_do(chosen, runtimes, project)
    if built is None:
        built = _make(chosen, runtimes, project, force=no_cache, verify=verify)
    elif form is Format.TEXT:
        output.say("nothing has changed since the last build")
    _show(built, form)


def _chosen(project: Project, names: Sequence[str]) -> list[Function]:
    known = {function.name: function for function in project.functions}
    for name in names:
        if name not in known:
            raise NotFound(f"no function named {name} in this project", hint=f"there are: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())


def _nothing_to_do(
    functions: Sequence[Function], runtimes: Mapping[str, RuntimeSpec], project: Project
) -> dict[str, Built] | None:
    """Every function's last build, where all of them are up to date with an image. Asks no engine, and is quick so.

    Costs: an image that was removed by hand is not missed; `--no-cache` makes it again.
    """
    found: dict[str, Built] = {}
    for function in functions:
        there = execute.up_to_date(function, assets.runtime_of(function, runtimes), project, shipped=True)
        if there is None:
            return None
        found[function.name] = there
    return found


def _make(
    functions: Sequence[Function],
    runtimes: Mapping[str, RuntimeSpec],
    project: Project,
    *,
    force: bool,
    verify: bool,
) -> dict[str, Built]:
    from fnctl.build import layers
    from fnctl.engine.docker import DockerEngine

    engine = DockerEngine()
    used = [runtimes[name] for name in dict.fromkeys(function.runtime for function in functions)]
    try:
        with output.progress() as progress:
            image = layers.sandbox_image(engine, used, progress)
            if verify:
                for function in functions:
                    different = execute.verify(
                        function, engine=engine, image=image, runtimes=runtimes, project=project, progress=progress
                    )
                    _same_or_fail(function, different)
            return execute.build(
                functions, engine=engine, image=image, runtimes=runtimes, project=project, progress=progress,
                force=force, ship=True,
            )  # fmt: skip
    finally:
        engine.close()


def _same_or_fail(function: Function, different: Sequence[str]) -> None:
    if not different:
        return
    raise BuildError(
        f"two builds of {function.name} differ in {len(different)} files",
        hint="pin every dependency (commit the lock file), and let no install script write times or random names",
        detail="\n".join(different[:50]) + (f"\n… and {len(different) - 50} more" if len(different) > 50 else ""),
        code="not_reproducible",
    )


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


def _show_steps(
    functions: Sequence[Function], runtimes: Mapping[str, RuntimeSpec], project: Project, form: Format
) -> None:
    steps = [
        step
        for function in functions
        for step in execute.steps(function, assets.runtime_of(function, runtimes), project, ship=True)
    ]
    if form is Format.JSON:
        output.emit_json(
            [
                {"function": step.function, "action": str(step.action), "what": step.what, "cached": step.cached}
                for step in steps
            ]
        )
        return
    words = {True: "cached", False: "to do", None: "depends on the folder"}
    rows = [(step.function, step.action, step.what, words[step.cached]) for step in steps]
    output.emit(output.table(("FUNCTION", "STEP", "WHAT", "STATE"), rows))
