"""`fnctl setup`: an engine that answers, the base image and the sandbox image. Again: checks, and changes nothing."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fnctl import catalog, paths
from fnctl.cli import output
from fnctl.control import compose, pacing
from fnctl.engine import provision as install
from fnctl.engine.port import Engine
from fnctl.errors import BuildError, EngineUnavailable, UsageError
from fnctl.model import RuntimeSpec
from fnctl.pace import Pace
from fnctl.progress import Progress

SLOW = 2.0  # times the usual: worth a word
DAEMON_LOG = "dockerd.log"


def setup(
    runtime: Annotated[
        list[str] | None,
        typer.Option("--runtime", metavar="RUNTIME", help="Also include this runtime, for example node22. Repeatable."),
    ] = None,
    no_install: Annotated[
        bool, typer.Option("--no-install", help="Install and start nothing; only report what is missing.")
    ] = False,
) -> None:
    """Prepare this machine: Docker Engine, base image and sandbox image.

    Uses the Docker Engine that is running. If there is none, installs and starts Docker (on Debian and Ubuntu, as root
    or with sudo). When everything is ready, it only checks, and measures how fast containers start here: a few
    seconds. Run it again when the machine has changed.

    \b
    Examples:
      fnctl setup
      fnctl setup --runtime node22
    """
    from fnctl.builder import layer_images as layers

    wanted = chosen(runtime or [], catalog.runtimes())
    with output.progress() as progress:
        engine = ready_engine(progress, may_install=not no_install)
        try:
            _base(engine, progress, may_install=not no_install)
            image = layers.sandbox_image(engine, wanted, progress)
            pace = _measure(engine, image, wanted, progress)
        finally:
            engine.close()
    if pace.factor >= SLOW:
        output.say(f"this machine is slow: deadlines are {pace.factor:.1f} times the usual")
    output.say(f"ready: {image} ({', '.join(f'{spec.name} {spec.version}' for spec in wanted)})")


def _measure(engine: Engine, image: str, runtimes: list[RuntimeSpec], progress: Progress) -> Pace:
    """How long containers and runtimes take here; kept for the runs to come."""
    step = "Measuring this machine"
    progress.start(step)
    try:
        pace = pacing.measure(engine, image, runtimes)
        pacing.write(pace)
    except OSError as error:
        progress.failed(step)
        raise paths.no_home(error) from error
    except BaseException:
        progress.failed(step)
        raise
    progress.done(step)
    return pace


def chosen(extra: list[str], known: dict[str, RuntimeSpec]) -> list[RuntimeSpec]:
    """The default runtimes and those asked for. UsageError names those there are."""
    for name in extra:
        if name not in known:
            raise UsageError(f"no runtime named `{name}`", hint=f"available: {', '.join(sorted(known))}")
    names = dict.fromkeys([*(spec.name for spec in catalog.default_runtimes()), *extra])
    return [known[name] for name in names]


def ready_engine(progress: Progress, *, may_install: bool) -> Engine:
    """An engine that answers; installed and started where that is possible and allowed."""
    engine = _answering()
    if engine is not None:
        return engine
    commands = install.plan(install.look(os.environ))
    if not may_install:
        words = "; ".join(" ".join(command.argv) for command in commands)
        raise EngineUnavailable("no Docker Engine answers", hint=f"`fnctl setup` would run: {words}")
    log = paths.home() / DAEMON_LOG
    progress.start(install.STEP)
    try:
        install.perform(commands, progress, log)
        install.wait_until(_answers, log)
    except BaseException:
        progress.failed(install.STEP)
        raise
    progress.done(install.STEP, "running")
    return compose.connect()


def _answering() -> Engine | None:
    engine = compose.connect()
    try:
        engine.facts()
    except EngineUnavailable:
        engine.close()
        return None
    return engine


def _answers() -> bool:
    engine = _answering()
    if engine is not None:
        engine.close()
    return engine is not None


def _base(engine: Engine, progress: Progress, *, may_install: bool) -> None:
    """The base image; where it has to be bootstrapped and the tool for that is missing, the tool first."""
    from fnctl.builder import layer_images as layers
    from fnctl.builder.base_image import NO_BOOTSTRAP

    try:
        layers.base_image(engine, progress)
    except BuildError as error:
        if error.code != NO_BOOTSTRAP or not may_install:
            raise
        step = "Installing mmdebstrap"
        progress.start(step)
        try:
            commands = install.apt_install(install.look(os.environ), install.BOOTSTRAP_PACKAGES)
            install.perform(commands, progress, paths.home() / DAEMON_LOG, step=step)
        except EngineUnavailable:
            progress.failed(step)
            raise error from None  # its own hint also names the other way: tag an image
        except BaseException:
            progress.failed(step)
            raise
        progress.done(step)
        layers.base_image(engine, progress)
