"""`fnctl du`: what of fnctl takes the disk, and who holds it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fnctl.control.disk import Taken


def du(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Each bundle, image, volume and cache.")] = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show what takes the disk: bundles, images, volumes, caches, logs and stores of this home's projects.

    REMOVABLE is what `fnctl prune --machine` would remove. Images share layers: their sizes are upper bounds.

    \b
    Examples:
      fnctl du
      fnctl du --all
    """
    from fnctl.control import compose, disk
    from fnctl.control.holder import holder
    from fnctl.control.prunable import Scope, disk_size, leftovers, take_inventory

    there = take_inventory(compose.connect(), holder)
    rows = list(disk.taken(there, leftovers(there, Scope(), disk_size), disk_size))
    if form is Format.JSON:
        output.emit_json([asdict(each) for each in rows])
        return
    output.emit(_each(rows) if everything else _kinds(rows))


def _each(rows: Sequence[Taken]) -> str:
    lines = [
        (each.kind, each.name, output.megabytes(each.size_bytes), ", ".join(each.held_by) or "nobody")
        for each in sorted(rows, key=lambda each: -each.size_bytes)
    ]
    return output.table(("KIND", "NAME", "SIZE", "HELD BY"), lines)


def _kinds(rows: Sequence[Taken]) -> str:
    lines = []
    for kind in dict.fromkeys(each.kind for each in rows):
        of_kind = [each for each in rows if each.kind == kind]
        free = sum(each.size_bytes for each in of_kind if each.removable)
        size = sum(each.size_bytes for each in of_kind)
        lines.append((kind, len(of_kind), output.megabytes(size), output.megabytes(free)))
    return output.table(("KIND", "COUNT", "SIZE", "REMOVABLE"), lines)
