"""The function under measurement: what was built of it, and the same code as a bare program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fnctl import catalog, paths
from fnctl.bench import baselines, containers, interpreter
from fnctl.bench.baselines import Program
from fnctl.bench.containers import Container
from fnctl.bench.measure import NotMeasured
from fnctl.bench.stack import Serving, running
from fnctl.errors import NotFound
from fnctl.model import Function, Project
from fnctl.paths import ProjectPaths


@dataclass(frozen=True, slots=True)
class Subject:
    """`bare` is None where the function is no program of its own, as `why_not` says. `image` is the sandbox image's."""

    project: Project
    function: Function
    bundle: Path
    image: str
    supervisor: tuple[str, ...]  # what a sandbox runs as its first process
    path: str | None  # to call, as the user gave it
    bare: Program | None
    why_not: str = ""

    @property
    def name(self) -> str:
        return self.function.name

    def program(self) -> Program:
        """NotMeasured where there is none."""
        if self.bare is None:
            raise NotMeasured(self.why_not)
        return self.bare


def select(project: Project, name: str) -> Function:
    for function in project.functions:
        if function.name == name:
            return function
    known = ", ".join(function.name for function in project.functions)
    raise NotFound(f"no function named {name} in this project", hint=f"functions: {known}")


def prepare(project: Project, name: str, path: str | None = None) -> Subject:
    """Runs the function once: what it needs is built then, and the image is found from its containers."""
    function = select(project, name)
    with running(project, Serving((name,), warm=1)):
        sandbox = a_sandbox(project)
    bundle = bundle_of(project, name)
    spec = catalog.runtimes()[function.runtime]
    try:
        found = interpreter.of_image(sandbox.image, spec, paths.cache() / "bench")
        bare, why_not = baselines.program(function, spec, found, bundle, path or "/"), ""
    except NotMeasured as reason:
        bare, why_not = None, reason.message
    return Subject(project, function, bundle, sandbox.image, sandbox.command, path, bare, why_not)


def a_sandbox(project: Project) -> Container:
    """One of those that the running service has."""
    found = [row for row in containers.of_project(project.id) if row.labels.get("dev.fnctl.role") == "sandbox"]
    if not found:
        raise NotMeasured(f"the service of {project.root} runs, and Docker shows no sandbox of it")
    return found[0]


def bundle_of(project: Project, name: str) -> Path:
    """The folder of the function's current bundle, from its release record."""
    record = ProjectPaths.of(project.id).releases / f"{name}.json"
    try:
        digest: str = json.loads(record.read_text("utf-8"))["digest"]
    except (OSError, ValueError, KeyError) as wrong:
        raise NotMeasured(f"the release record {record.name} of {name} cannot be read: {wrong}") from wrong
    return paths.bundles() / digest.removeprefix("sha256:")
