"""What `run`, `build` and `bench` begin with: one choice of functions and runtimes, their images and bundles.

Nothing is started here. The verbs share it, so that no two of them make different sandbox images of one project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fnctl import catalog, paths, projects
from fnctl.builder import builds
from fnctl.builder import layer_images as layers
from fnctl.builder.builds import Built
from fnctl.builder.plan import Action, Goal, Step
from fnctl.control import machine_checks as checks
from fnctl.engine.port import Engine
from fnctl.errors import BuildError, NotFound, UsageError
from fnctl.model import Bundle, Function, Project, RuntimeSpec
from fnctl.pool.settings import Kind
from fnctl.progress import Progress
from fnctl.sandbox import secrets
from fnctl.sandbox.loading import Code
from fnctl.services.plan import Planned


@dataclass(frozen=True, slots=True)
class Selection:
    """The functions that a verb is asked for, and the runtimes that there are."""

    project: Project
    functions: tuple[Function, ...]
    known: Mapping[str, RuntimeSpec]

    @property
    def sandbox(self) -> tuple[RuntimeSpec, ...]:
        """The runtimes of the sandbox image: the default ones (it is the image that set-up made, and services are
        written in one), then those of the project's functions, asked for or not: a project has one sandbox image."""
        names = [spec.name for spec in catalog.default_runtimes()]
        names += [function.runtime for function in self.project.functions]
        return tuple(self.known[name] for name in dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A project that is built: everything a stack needs, and nothing started yet."""

    project: Project
    engine: Engine
    image: str
    codes: tuple[Code, ...]
    services: tuple[Planned, ...] = ()
    sandbox: tuple[RuntimeSpec, ...] = ()  # the runtimes of the image

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The runtimes in use, with the reach of their sandboxes; those with the most functions first: they are booted
        ahead first."""
        used = {code.site: Kind(code.runtime, code.reach) for code in self.codes if not code.runtime.alone}
        count = Counter(kind.name for kind in used.values())
        kinds = {kind.name: kind for kind in used.values()}
        return tuple(kinds[name] for name, _ in count.most_common())


def select(project: Project, names: Sequence[str], runtimes: Mapping[str, RuntimeSpec] | None = None) -> Selection:
    """The functions asked for, each once, all where none is named. NotFound names those there are.

    `runtimes` are the known ones (default: those shipped).
    """
    functions = {function.name: function for function in project.functions}
    for name in names:
        if name not in functions:
            raise NotFound(f"no function named {name} in this project", hint=f"there are: {', '.join(functions)}")
    chosen = [functions[name] for name in dict.fromkeys(names)] if names else functions.values()
    return Selection(project, tuple(chosen), runtimes or catalog.runtimes())


def steps(selection: Selection, goal: Goal, *, force: bool = False) -> tuple[Step, ...]:
    """Every step of preparing it, as far as that can be told without the engine. Writes nothing."""
    plans = builds.plans(selection.functions, selection.known, selection.project, goal, force=force)
    done = goal is Goal.SHIP and all(each.nothing_to_do for each in plans)  # else the engine is asked for its images
    images = [f"sandbox image with {', '.join(spec.name for spec in selection.sandbox)}"]
    for spec in dict.fromkeys(each.spec for each in plans if each.runs_containers):
        if layers.has_build_image(spec):
            images.append(f"build image of {spec.name}")
    first = [Step(None, Action.RUNTIMES, what, True if done else None) for what in images]
    return (*first, *(step for each in plans for step in each.steps))


def unchanged(selection: Selection, goal: Goal) -> dict[str, Built] | None:
    """Every function's last build, where no step of any is to be done. Asks no engine, and is quick so.

    Costs: an image that was removed by hand is not missed; `--no-cache` makes it again.
    """
    plans = builds.plans(selection.functions, selection.known, selection.project, goal)
    return builds.found(plans) if all(each.nothing_to_do for each in plans) else None


def to_build(
    selection: Selection, engine: Engine, progress: Progress, *, force: bool = False, verify: bool = False
) -> dict[str, Built]:
    """Images and bundles, and an image to ship of each function. Blocking; a failure leaves the versions before."""
    _remember(selection.project)
    image = layers.sandbox_image(engine, selection.sandbox, progress)
    if verify:
        for function in selection.functions:
            different = builds.verify(
                function,
                engine=engine,
                image=image,
                runtimes=selection.known,
                project=selection.project,
                progress=progress,
            )
            _same_or_fail(function, different)
    return _build(selection, engine, image, progress, Goal.SHIP, force=force)


def to_serve(selection: Selection, engine: Engine, progress: Progress) -> Prepared:
    """Images and bundles made where they are not there. Blocking; BuildError leaves the previous versions in place."""
    secrets.check(selection.functions)
    check_home()
    _remember(selection.project)
    image = layers.sandbox_image(engine, selection.sandbox, progress)
    built = bundles(selection, selection.functions, engine, image, progress)
    codes = tuple(
        Code(function, built[function.name], catalog.runtime_of(function, selection.known))
        for function in selection.functions
    )
    services = planned(selection.project, engine, image, progress)
    return Prepared(selection.project, engine, image, codes, services, selection.sandbox)


# -- while it runs -----------------------------------------------------------------------------------------------------


def with_more(there: tuple[RuntimeSpec, ...], wanted: tuple[RuntimeSpec, ...]) -> tuple[RuntimeSpec, ...]:
    """The runtimes of the image, those that are not in it behind them."""
    return (*there, *(spec for spec in wanted if spec not in there))


def image_for(selection: Selection, prepared: Prepared, progress: Progress) -> str:
    """The sandbox image that runs, where it has the runtimes that are wanted; else one that has them too. Blocking."""
    wanted = with_more(prepared.sandbox, selection.sandbox)
    return prepared.image if wanted == prepared.sandbox else layers.sandbox_image(prepared.engine, wanted, progress)


def bundles(
    selection: Selection, functions: Sequence[Function], engine: Engine, image: str, progress: Progress
) -> dict[str, Bundle]:
    """These functions' releases, made where they are not there. Blocking; raises as `to_serve` does."""
    chosen = replace(selection, functions=tuple(functions))
    built = _build(chosen, engine, image, progress, Goal.SERVE) if functions else {}
    if not builds.sound(built):  # a disk that forgets, or a hand in the store: nothing of it may run
        built = _build(chosen, engine, image, progress, Goal.SERVE, force=True)
    return {name: each.bundle for name, each in built.items()}


def planned(project: Project, engine: Engine, image: str, progress: Progress) -> tuple[Planned, ...]:
    """The services that the project asks for, each with the image that it runs in."""
    types = catalog.service_types() if project.services else {}
    used = sorted({each.type for each in project.services})
    made = {name: layers.service_image(engine, types[name], image, progress) for name in used}
    return tuple(Planned(each, types[each.type], made[each.type]) for each in project.services)


def _build(
    selection: Selection, engine: Engine, image: str, progress: Progress, goal: Goal, *, force: bool = False
) -> dict[str, Built]:
    return builds.build(
        selection.functions,
        engine=engine,
        image=image,
        runtimes=selection.known,
        project=selection.project,
        progress=progress,
        goal=goal,
        force=force,
    )


def _same_or_fail(function: Function, different: Sequence[str]) -> None:
    if not different:
        return
    raise BuildError(
        f"two builds of {function.name} differ in {len(different)} files",
        hint="pin every dependency (commit the lock file), and keep times and random names out of install scripts",
        detail="\n".join(different[:50]) + (f"\n… and {len(different) - 50} more" if len(different) > 50 else ""),
        code="not_reproducible",
    )


def _remember(project: Project) -> None:
    projects.remember(project.id, project.place or project.root, project.name)


def check_home() -> None:
    """Before anything is made: no sandbox could be reached below a home whose sockets' paths are too long."""
    unfit = next(
        (finding for finding in checks.home(str(paths.home()), None) if finding.level is checks.Level.FAIL), None
    )
    if unfit is not None:
        raise UsageError(unfit.found, hint=unfit.fix)
