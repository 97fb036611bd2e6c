"""Functions with dependencies, built once a session as fnctl itself builds them."""

from __future__ import annotations

from pathlib import Path

from fnctl import catalog
from fnctl.builder import builds
from fnctl.engine.docker import DockerEngine
from fnctl.model import Function, Project
from fnctl.progress import Silent


def built(engine: DockerEngine, image: str, folder: Path, runtime: str, manifest: tuple[str, str]) -> Path:
    """The bundle's folder of a function that has nothing but these dependencies."""
    folder.mkdir()
    (folder / manifest[0]).write_text(manifest[1])
    function = Function(name="packages", path=folder, runtime=runtime, handler="none.handler")
    project = Project(root=folder, id=f"agents-{runtime.replace('.', '-')}", functions=(function,))
    done = builds.build(
        [function], engine=engine, image=image, runtimes=catalog.runtimes(), project=project, progress=Silent()
    )
    return done[function.name].bundle.root
