"""`fnctl prune`: remove what fnctl made and nothing uses any more, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import FileOption, Format, FormatOption, project_paths
from fnctl.errors import FnctlError, UsageError

if TYPE_CHECKING:
    from fnctl.control.prunable import Leftover
    from fnctl.engine.port import Engine


def prune(
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also remove images, bundles and caches that the next run would reuse.")
    ] = False,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Also remove the volumes of services. Their data is lost.")
    ] = False,
    machine: Annotated[
        bool, typer.Option("--machine", help="Look at all projects, and at what they share, not only at this project.")
    ] = False,
    home: Annotated[
        list[str] | None,
        typer.Option(
            "--home",
            metavar="ID",
            help="With --machine: also what this other fnctl home made, or `all`. Repeatable.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> int:
    """Remove unused containers, networks, images and bundles of this project, or with --machine of all.

    Never removes what a running project uses, nor anything that fnctl did not make. What another user or another
    FNCTL_HOME made is kept unless its home is named.

    \b
    Examples:
      fnctl prune --dry-run
      fnctl prune --all --volumes --yes
      fnctl prune --machine
    """
    from fnctl.control import compose
    from fnctl.control.holder import holder
    from fnctl.control.prunable import Scope, disk_size, leftovers, others, take_inventory

    if home and not machine:
        raise UsageError("--home needs --machine", hint="fnctl prune --machine --home ID")
    engine = compose.connect()
    there = take_inventory(engine, holder)
    project = None if machine else project_paths(file).root.name
    scope = Scope(project, everything, volumes, frozenset(home or ()))
    found = list(leftovers(there, scope, disk_size))
    if form is Format.JSON:
        output.emit_json([asdict(each) for each in found])
    elif found:
        output.emit(listing(found))
    if machine and (kept := others(there, scope, disk_size)):
        output.say(kept_of_others(kept))
    if not found or dry_run:
        nothing = (
            "nothing to remove" if machine else "nothing to remove of this project; --machine looks at all of them"
        )
        output.say(f"would remove {total(found)}" if found else nothing)
        return 0
    if not yes:
        _ask(found)
    failed = list(_remove_all(found, engine))
    output.say(f"removed {total([each for each in found if each not in failed])}")
    return 1 if failed else 0


def listing(found: Sequence[Leftover]) -> str:
    rows = [
        (
            each.kind,
            each.name,
            output.megabytes(each.size_bytes) if each.size_bytes else None,
            each.user,
            each.folder,
        )
        for each in found
    ]
    return output.table(("KIND", "NAME", "SIZE", "OWNER", "FOLDER"), rows)


def kept_of_others(kept: Sequence[Leftover]) -> str:
    """A line for each home that is not named, with whose it is and how to name it."""
    lines = []
    for home in dict.fromkeys(each.home for each in kept):
        of_home = [each for each in kept if each.home == home]
        users = ", ".join(dict.fromkeys(each.user for each in of_home if each.user)) or "unknown"
        folders = ", ".join(dict.fromkeys(each.folder for each in of_home if each.folder)) or "unknown folder"
        lines.append(
            f"kept {total(of_home)} of another fnctl home ({users}: {folders}); --home {home} removes them too"
        )
    return "\n".join(lines)


def total(found: Sequence[Leftover]) -> str:
    """`3 containers, 1 image, at most 210.4 MB`."""
    kinds = dict.fromkeys(each.kind for each in found)
    counts = {kind: sum(each.kind == kind for each in found) for kind in kinds}
    parts = [f"{count} {_plural(kind, count)}" for kind, count in counts.items()]
    size = sum(each.size_bytes for each in found)
    return ", ".join(parts or ["nothing"]) + (f", at most {output.megabytes(size)}" if size else "")


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 or kind.endswith("s") else f"{kind}s"


def _ask(found: Sequence[Leftover]) -> None:
    """Typer aborts on no."""
    if not sys.stdin.isatty():
        raise UsageError("not a terminal: cannot ask for confirmation", hint="pass --yes to confirm")
    typer.confirm(f"remove {total(found)}?", abort=True, err=True)


def _remove_all(found: Sequence[Leftover], engine: Engine) -> Iterator[Leftover]:
    """Remove each; those that could not be. One that is in use by now does not keep the others."""
    for each in found:
        try:
            _remove(each, engine)
        except (FnctlError, OSError) as error:
            output.say(f"kept {each.kind} {each.name}: {error}")
            yield each


def _remove(each: Leftover, engine: Engine) -> None:
    removers = {
        "container": engine.destroy,
        "network": engine.remove_network,
        "volume": engine.remove_volume,
        "image": engine.remove_image,
    }
    if each.kind in removers:
        removers[each.kind](each.target)
        return
    from fnctl.builder import store

    path = Path(each.target)
    if path.is_dir() and not path.is_symlink():
        store.remove(path)
    else:
        path.unlink(missing_ok=True)
