"""Which dependencies are to be installed, what they are keyed by, and the steps that a plan tells."""

from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.builder import install_plan
from fnctl.builder.bundle import Item
from fnctl.builder.inputs import Inputs
from fnctl.builder.plan import Action, Goal, Known, Plan, plan, together
from fnctl.builder.tree import Entry
from fnctl.errors import BuildError
from fnctl.model import Function, InstallRule, RuntimeSpec

SPECS = catalog.runtimes()
NODE, PYTHON = SPECS["node24"], SPECS["python3.13"]
EXPRESS = b'{"dependencies": {"express": "5"}}'
CODE = (Item("index.js", "file", "00"),)


def needed(spec: RuntimeSpec, **files: bytes) -> install_plan.Install | None:
    names = {
        "package": "package.json",
        "lock": "package-lock.json",
        "req": "requirements.txt",
        "proj": "pyproject.toml",
    }
    return install_plan.of(spec, {names.get(name, name): content for name, content in files.items()})


def test_a_lock_file_is_followed_where_there_is_one() -> None:
    locked, loose = needed(NODE, package=EXPRESS, lock=b"{}"), needed(NODE, package=EXPRESS)
    assert locked is not None and "ci" in locked.rule.run
    assert loose is not None and "install" in loose.rule.run


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        (NODE, {}),
        (NODE, {"package": b'{"name": "x", "scripts": {"test": "jest"}, "devDependencies": {"jest": "30"}}'}),
        (NODE, {"package": b'{"dependencies": {}}', "lock": b"{}"}),
        (PYTHON, {"req": b"# none\n\n"}),
        (PYTHON, {"proj": b"[tool.ruff]\nline-length = 120\n"}),
    ],
)
def test_nothing_is_run_where_nothing_is_named(spec: RuntimeSpec, files: dict[str, bytes]) -> None:
    assert needed(spec, **files) is None


@pytest.mark.parametrize(
    ("spec", "files", "whole"),
    [
        (NODE, {"package": EXPRESS}, False),
        (NODE, {"package": b'{"dependencies": {"lib": "file:../lib"}}'}, True),
        (NODE, {"package": b'{"workspaces": ["a"]}'}, True),
        (NODE, {"package": b'{"scripts": {"postinstall": "node make.js"}}'}, True),
        (PYTHON, {"req": b"flask==3.1.2\n--index-url https://pypi.example/simple\n"}, False),
        (PYTHON, {"req": b"-r other.txt\n"}, True),
        (PYTHON, {"req": b"./lib\n"}, True),
        (PYTHON, {"req": b"lib @ file:///fn/app/lib\n"}, True),
        (PYTHON, {"proj": b'[project]\nname = "x"\nversion = "1"\ndependencies = ["flask"]\n'}, False),
    ],
)
def test_an_install_sees_the_folder_only_where_it_must(spec: RuntimeSpec, files: dict[str, bytes], whole: bool) -> None:
    found = needed(spec, **files)
    assert found is not None
    assert found.whole_folder is whole
    changed = (Item("index.js", "file", "11"),)
    assert (found.key(["r"], "m", CODE) != found.key(["r"], "m", changed)) is whole


def test_the_key_is_over_all_that_the_result_depends_on() -> None:
    base = needed(NODE, package=EXPRESS, lock=b"{}")
    assert base is not None
    key = base.key(["node24", "24.1"], "x86_64", CODE)
    others = [
        base.key(["node24", "24.2"], "x86_64", CODE),
        base.key(["node24", "24.1"], "aarch64", CODE),
        *(
            other.key(["node24", "24.1"], "x86_64", CODE)
            for other in (
                needed(NODE, package=EXPRESS, lock=b'{"x": 1}'),
                needed(NODE, package=EXPRESS),
                install_plan.of(NODE, {"package.json": EXPRESS, "package-lock.json": b"{}", ".npmrc": b"a=b"}),
            )
            if other is not None
        ),
    ]
    assert len({key, *others}) == 6


def test_a_runtime_of_ones_own_is_installed_by_its_own_rule_in_the_whole_folder() -> None:
    rule = InstallRule(("go.mod",), ("/opt/go", "build"), "bin")
    found = install_plan.of(RuntimeSpec("go1", "go", "1", Path("/x"), ("a",), install=(rule,)), {"go.mod": b"m"})
    assert found is not None and found.whole_folder


@pytest.mark.parametrize(
    ("spec", "files"), [(NODE, {"package": b"{"}), (NODE, {"package": b"[]"}), (PYTHON, {"proj": b"="})]
)
def test_a_broken_file_is_named(spec: RuntimeSpec, files: dict[str, bytes]) -> None:
    with pytest.raises(BuildError, match=r"package\.json|pyproject\.toml"):
        needed(spec, **files)


def inputs(*names: str, **manifests: bytes) -> Inputs:
    entries = tuple(Entry(name, False, 1, (0, 0, 0)) for name in names)
    return Inputs(entries, {f"{name}.txt": content for name, content in manifests.items()}, "f")


def told(plan: Plan) -> list[tuple[Action, bool | None]]:
    return [(step.action, step.cached) for step in plan.steps]


SERVED = Function("f", Path("/p/f"), "python3.13", "app.py")


def test_a_plan_tells_each_step_and_what_is_there_already() -> None:
    made = plan(SERVED, PYTHON, inputs("app.py", requirements=b"flask\n"), Goal.SHIP, Known(installed=True))
    assert told(made) == [
        (Action.COPY, False),
        (Action.INSTALL, True),
        (Action.COMPILE, False),
        (Action.BUNDLE, False),
        (Action.CACHE, False),
        (Action.IMAGE, False),
        (Action.RECORD, False),
    ]
    made = plan(SERVED, PYTHON, inputs("page.html"), Goal.SERVE, Known(unchanged=True, image=True))
    assert told(made) == [(Action.COPY, True), (Action.BUNDLE, True), (Action.RECORD, True)]
    assert made.nothing_to_do


def test_what_only_the_contents_tell_is_neither_there_nor_to_do() -> None:
    read = inputs("app.py", requirements=b"flask\n")
    assert told(plan(SERVED, PYTHON, read, Goal.SERVE, Known(alike=True))) == [
        (Action.COPY, False),
        (Action.INSTALL, None),
        (Action.COMPILE, None),
        (Action.BUNDLE, None),
        (Action.CACHE, None),
        (Action.RECORD, None),
    ]
    assert dict(told(plan(SERVED, PYTHON, read, Goal.SERVE, Known(installed=None))))[Action.INSTALL] is None


def test_a_stale_cache_and_a_missing_image_are_to_do_alone() -> None:
    stale = plan(SERVED, PYTHON, inputs("app.py"), Goal.SERVE, Known(unchanged=True, stale_cache=True))
    assert [step.action for step in stale.steps if step.cached is not True] == [Action.CACHE]
    unshipped = plan(SERVED, PYTHON, inputs("app.py"), Goal.SHIP, Known(unchanged=True))
    assert [step.action for step in unshipped.steps if step.cached is not True] == [Action.IMAGE, Action.RECORD]


def test_with_force_everything_is_to_do() -> None:
    there = Known(unchanged=True, alike=True, installed=True, image=True)
    made = plan(SERVED, PYTHON, inputs("app.py", requirements=b"flask\n"), Goal.SHIP, there, force=True)
    assert {step.cached for step in made.steps} == {False}


@pytest.mark.parametrize(
    ("goal", "actions"),
    [
        (Goal.EDIT, [Action.COPY, Action.INSTALL, Action.BUNDLE]),
        (Goal.COMPARE, [Action.COPY, Action.INSTALL, Action.COMPILE]),
    ],
)
def test_an_edit_and_a_comparison_leave_steps_out(goal: Goal, actions: list[Action]) -> None:
    made = plan(SERVED, PYTHON, inputs("app.py", requirements=b"flask\n"), goal)
    assert [step.action for step in made.steps] == actions


def test_of_functions_that_share_a_folder_the_first_makes_the_bundle() -> None:
    first, second = (plan(replace(SERVED, name=name), PYTHON, inputs("app.py"), Goal.SHIP) for name in "ab")
    one, other = together([first, second])
    assert dict(told(one))[Action.BUNDLE] is False
    assert dict(told(other))[Action.BUNDLE] is None


def test_before_the_engine_is_asked_an_image_is_sure_only_where_nothing_is_to_do() -> None:
    there = plan(SERVED, PYTHON, inputs("app.py"), Goal.SHIP, Known(unchanged=True, image=True))
    assert together([there]) == (there,)
    other = plan(replace(SERVED, name="g", path=Path("/p/g")), PYTHON, inputs("app.py"), Goal.SHIP)
    assert dict(told(together([there, other])[0]))[Action.IMAGE] is None
