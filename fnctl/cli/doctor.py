"""`fnctl doctor`: check that this machine can run functions, and how well it keeps them apart from itself."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl import paths
from fnctl.cli import output
from fnctl.cli.options import Format, FormatOption
from fnctl.control import machine_checks as checks
from fnctl.control.holder import holder
from fnctl.control.machine_checks import Finding, Level
from fnctl.errors import EngineError, FnctlError

if TYPE_CHECKING:
    from fnctl.engine.port import Engine, EngineFacts

COLOURS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "31;1"}


def doctor(
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port to check.")] = 8080,
    form: FormatOption = Format.TEXT,
) -> int:
    """Check that this machine can run functions, and how well functions are isolated from it.

    Exits with 1 if a check fails. A warning shows what could be safer, or what is not set up yet.

    \b
    Examples:
      fnctl doctor
      fnctl doctor -o json | jq '.[] | select(.level != "ok")'
    """
    found = [*_machine(port), *_engine()]
    if form is Format.JSON:
        output.emit_json([asdict(each) for each in found])
    else:
        output.emit(page(found))
    return 1 if any(each.level is Level.FAIL for each in found) else 0


def page(found: list[Finding]) -> str:
    """One line a finding, its fix below it; at the end how many of each."""
    width = max(len(each.check) for each in found)
    lines = []
    for each in found:
        level = output.paint(each.level.ljust(4), COLOURS[each.level])
        lines.append(f"{level}  {each.check.ljust(width)}  {output.printable(each.found)}")
        if each.fix:
            lines.append(f"{' ' * (width + 8)}fix: {each.fix}")
    counts = [(level, sum(each.level is level for each in found)) for level in Level]
    return "\n".join([*lines, "", ", ".join(f"{count} {level}" for level, count in counts)])


def _machine(port: int) -> Iterator[Finding]:
    yield checks.python(sys.version_info[:3], platform.python_version())
    yield checks.files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # the hard one: `fnctl run` raises the other
    yield checks.calls(os.geteuid() == 0)
    home = paths.home()
    yield checks.disk(str(home), shutil.disk_usage(_nearest(home)).free)
    yield from checks.home(str(home), _unlinkable(home))
    yield checks.port(port, _port_problem(port), ours=bool(_live()))


def _engine() -> Iterator[Finding]:
    from fnctl.control import compose
    from fnctl.engine import host_rules

    try:
        engine = compose.connect()
        facts = engine.facts()
    except EngineError as error:
        yield checks.no_engine(error.message, error.hint)
        return
    yield from checks.engine(facts)
    yield checks.egress(host_rules.unable() if facts.local else "the engine is on another machine")
    yield from _engine_disk(facts)
    try:
        yield from _state(engine)
    except EngineError as error:
        yield checks.no_engine(error.message, error.hint)


def _engine_disk(facts: EngineFacts) -> Iterator[Finding]:
    """Where the engine keeps images, where that is ours to see and another disk than fnctl's."""
    root = Path(facts.root_dir)
    try:
        if facts.local and root.is_dir() and root.stat().st_dev != _nearest(paths.home()).stat().st_dev:
            yield checks.disk(facts.root_dir, shutil.disk_usage(root).free)
    except PermissionError:
        return


def _state(engine: Engine) -> Iterator[Finding]:
    from fnctl.builder.base_image import BASE
    from fnctl.control.prunable import OURS, Inventory, Scope, elsewhere, leftovers
    from fnctl.engine.port import LABEL_ROLE

    tags = [tag for image in engine.images({**OURS, LABEL_ROLE: "layer"}) for tag in image.tags]
    base = BASE if engine.image(BASE) is not None else None
    yield from checks.images(base, next((tag for tag in tags if tag.startswith("fnctl/sandbox:")), None))
    containers = tuple(engine.list(OURS))
    home = paths.home_id()
    served = frozenset((home, project) for project in _live())
    there = Inventory(home, live=served | elsewhere(containers, home), containers=containers)
    yield checks.leftovers(len(list(leftovers(there, Scope(), lambda path: 0))))


def _live() -> frozenset[str]:
    return frozenset(name for name, folder in _projects().items() if holder(folder / "lock") is not None)


def _projects() -> dict[str, Path]:
    folder = paths.home() / "projects"
    return {each.name: each for each in folder.iterdir()} if folder.is_dir() else {}


def _port_problem(port: int) -> str | None:
    from fnctl.cli.preconditions import claim_port

    try:
        claim_port("127.0.0.1", port)
    except FnctlError as error:
        return error.message
    return None


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def _unlinkable(home: Path) -> str | None:
    """Why bundles could not be linked into slots: tried with a file, in the folders or in what will hold them."""
    source, target = _nearest(home / "bundles"), _nearest(home / "projects")
    try:
        with tempfile.NamedTemporaryFile(dir=source, prefix=".doctor-") as file:
            link = target / f"{Path(file.name).name}.link"
            os.link(file.name, link)
            link.unlink()
    except OSError as error:
        return f"{source} to {target}: {error.strerror}"
    return None
