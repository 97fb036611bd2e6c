"""`fnctl setup`: an engine that answers, the base image and the sandbox image. Again: checks, and changes nothing."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fnctl import assets, paths
from fnctl.cli import compose, output
from fnctl.engine import install
from fnctl.engine.base import Engine
from fnctl.errors import BuildError, EngineUnavailable, UsageError
from fnctl.model import RuntimeSpec
from fnctl.progress import Progress

DAEMON_LOG = "dockerd.log"


def setup(
    runtime: Annotated[
        list[str] | None,
        typer.Option("--runtime", metavar="RUNTIME", help="Add a runtime to the image, e.g. node22. May be repeated."),
    ] = None,
    no_install: Annotated[
        bool, typer.Option("--no-install", help="Install and start nothing; say what is missing.")
    ] = False,
) -> None:
    """Make this machine ready: a Docker Engine, the base image and the sandbox image.

    An engine that answers is used as it is. Where there is none, on Debian or Ubuntu and as root (or with sudo), Docker
    is installed and started. Done once, the same command only checks, in less than a second.

    Example: fnctl setup --runtime node22
    """
    from fnctl.build import layers

    wanted = chosen(runtime or [], assets.runtimes())
    with output.progress() as progress:
        engine = ready_engine(progress, may_install=not no_install)
        try:
            _base(engine, progress, may_install=not no_install)
            image = layers.sandbox_image(engine, wanted, progress)
        finally:
            engine.close()
    output.say(f"ready: {image} ({', '.join(f'{spec.name} {spec.version}' for spec in wanted)})")


def chosen(extra: list[str], known: dict[str, RuntimeSpec]) -> list[RuntimeSpec]:
    """The default runtimes and those asked for. UsageError names those there are."""
    for name in extra:
        if name not in known:
            raise UsageError(f"no runtime named {name}", hint=f"there are: {', '.join(sorted(known))}")
    names = dict.fromkeys([*(spec.name for spec in assets.default_runtimes()), *extra])
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
    progress.done(install.STEP, "started")
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
    from fnctl.build import layers
    from fnctl.build.base import NO_BOOTSTRAP

    try:
        layers.base_image(engine, progress)
    except BuildError as error:
        if error.code != NO_BOOTSTRAP or not may_install:
            raise
        step = "install mmdebstrap"
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
