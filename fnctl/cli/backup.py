"""`fnctl backup` and `fnctl restore`: a project's state as one file, and back, on this machine or another."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import FileOption, Format, FormatOption, project_paths
from fnctl.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from fnctl.control.backup_file import Manifest
    from fnctl.model import Project

Archive = Annotated[Path, typer.Argument(metavar="BACKUP", help="The backup's file.")]


def backup(
    target: Archive,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> None:
    """Write the project's state into one file, while it runs: queued calls and workflows, keys, releases, volumes.

    Services stand still while their volumes are copied; calls to them wait. Code, logs and images are not in it.
    Keep the file secret: it has all of the project's data and keys.

    \b
    Examples:
      fnctl backup shop.backup
      fnctl backup --force /backups/shop.backup
    """
    from fnctl.control import compose
    from fnctl.control.backup import back_up

    target = target.absolute()
    if target.exists() and not force:
        raise ConflictError(f"{target} exists already", hint="--force replaces it", code="exists")
    paths = project_paths(file)
    with output.progress() as progress:
        manifest = back_up(paths, target, _name(paths.root.name), compose.connect(), progress)
    _show(manifest, target, form)
    if form is Format.TEXT and not any(part.name.endswith("store.db") for part in manifest.parts):
        output.say("without a store: this project has none yet, or keeps it in Postgres (use pg_dump)")


def restore(
    source: Archive,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace what is there, without a question.")] = False,
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> None:
    """Put the state of a backup in the place of this project's. The project must not run.

    All of the file is checked first. If anything fails, everything is as it was.

    \b
    Examples:
      fnctl restore shop.backup
      fnctl restore --yes /backups/shop.backup
    """
    from fnctl.control import compose, restore
    from fnctl.control.lock import ProjectLock
    from fnctl.paths import ProjectPaths

    project, source = _project(file), source.absolute()
    engine, paths = compose.connect(), ProjectPaths.of(project.id).ensure()
    lock = ProjectLock(paths.lock)
    lock.acquire()
    try:
        with output.progress() as progress, restore.checked(source, paths, engine, progress) as found:
            if found.replaced and not yes:
                raise _unasked(found.replaced)
            restore.put_in_place(found, project, paths, engine, progress)
    finally:
        lock.release()
    _show(found.manifest, source, form)


def _project(file: Path | None) -> Project:
    """Of the source here, or of a folder for a release: which it is, is remembered from now on."""
    from fnctl import config, projects
    from fnctl.config import here
    from fnctl.control import pulling

    given = None if file is None else file.absolute()
    here_is_source = config.find(here(), given) is not None
    project = config.load(here(), given) if here_is_source else pulling.unread(here())
    projects.remember(project.id, project.place or project.root, project.name)
    return project


def _name(identity: str) -> str:
    from fnctl import projects

    known = projects.of(identity)
    return known.name if known is not None else identity


def _unasked(replaced: tuple[str, ...]) -> UsageError:
    return UsageError(
        f"this project has data that a restore replaces: {', '.join(replaced)}", hint="pass --yes to confirm"
    )


def _show(manifest: Manifest, file: Path, form: Format) -> None:
    if form is Format.JSON:
        output.emit_json(
            {
                "file": str(file),
                "project": manifest.project,
                "at": manifest.at,
                "fnctl": manifest.fnctl,
                "parts": [{"name": part.name, "size_bytes": part.size_bytes} for part in manifest.parts],
            }
        )
        return
    rows = [(part.name, output.megabytes(part.size_bytes)) for part in manifest.parts]
    output.emit(output.table(("PART", "SIZE"), rows))
    output.say(f"\n{manifest.project}, as of {datetime.fromtimestamp(manifest.at, UTC):%Y-%m-%d %H:%M:%S} UTC")
