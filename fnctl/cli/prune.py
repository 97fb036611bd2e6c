"""`fnctl prune`: remove what fnctl made and nothing uses any more, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import Format, FormatOption
from fnctl.errors import FnctlError, UsageError

if TYPE_CHECKING:
    from fnctl.cli.leftovers import Leftover
    from fnctl.engine.base import Engine


def prune(
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also images, bundles and caches that a next run would use again.")
    ] = False,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Also the volumes of services: their data is lost.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    form: FormatOption = Format.TEXT,
) -> int:
    """Remove what fnctl made and nothing uses any more: containers, networks, images, bundles. Nothing else.

    What a running service uses stays, of whichever project.

    \b
    Examples:
      fnctl prune --dry-run
      fnctl prune --all --volumes --yes
    """
    from fnctl.cli import compose
    from fnctl.cli.holder import holder
    from fnctl.cli.leftovers import disk_size, leftovers, take_inventory

    engine = compose.connect()
    there = take_inventory(engine, holder)
    found = list(leftovers(there, everything=everything, volumes=volumes, size=disk_size))
    if form is Format.JSON:
        output.emit_json([asdict(each) for each in found])
    elif found:
        output.emit(listing(found))
    if not found or dry_run:
        output.say("nothing to remove" if not found else f"would remove {total(found)}")
        return 0
    if not yes:
        _ask(found)
    failed = list(_remove_all(found, engine))
    output.say(f"removed {total([each for each in found if each not in failed])}")
    return 1 if failed else 0


def listing(found: Sequence[Leftover]) -> str:
    rows = [(each.kind, each.name, output.megabytes(each.size_bytes) if each.size_bytes else None) for each in found]
    return output.table(("KIND", "NAME", "SIZE"), rows)


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
        raise UsageError("removing needs a yes, and nobody can be asked here", hint="fnctl prune --yes")
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
    from fnctl.build import store

    path = Path(each.target)
    if path.is_dir() and not path.is_symlink():
        store.remove(path)
    else:
        path.unlink(missing_ok=True)
