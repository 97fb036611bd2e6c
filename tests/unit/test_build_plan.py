"""Which dependencies are to be installed, what they are keyed by, and the steps that a plan tells."""

from pathlib import Path

import pytest

from fnctl import assets
from fnctl.build import plan
from fnctl.build.bundle import Item
from fnctl.build.plan import Action, Known
from fnctl.errors import BuildError
from fnctl.model import Function, InstallRule, RuntimeSpec

SPECS = assets.runtimes()
NODE, PYTHON = SPECS["node24"], SPECS["python3.13"]
EXPRESS = b'{"dependencies": {"express": "5"}}'
CODE = (Item("index.js", "file", "00"),)


def needed(spec: RuntimeSpec, **files: bytes) -> plan.Install | None:
    names = {
        "package": "package.json",
        "lock": "package-lock.json",
        "req": "requirements.txt",
        "proj": "pyproject.toml",
    }
    return plan.installation(spec, {names.get(name, name): content for name, content in files.items()})


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
                plan.installation(NODE, {"package.json": EXPRESS, "package-lock.json": b"{}", ".npmrc": b"a=b"}),
            )
            if other is not None
        ),
    ]
    assert len({key, *others}) == 6


def test_a_runtime_of_ones_own_is_installed_by_its_own_rule_in_the_whole_folder() -> None:
    rule = InstallRule(("go.mod",), ("/opt/go", "build"), "bin")
    found = plan.installation(RuntimeSpec("go1", "go", "1", Path("/x"), ("a",), install=(rule,)), {"go.mod": b"m"})
    assert found is not None and found.whole_folder


@pytest.mark.parametrize(
    ("spec", "files"), [(NODE, {"package": b"{"}), (NODE, {"package": b"[]"}), (PYTHON, {"proj": b"="})]
)
def test_a_broken_file_is_named(spec: RuntimeSpec, files: dict[str, bytes]) -> None:
    with pytest.raises(BuildError, match=r"package\.json|pyproject\.toml"):
        needed(spec, **files)


def test_a_plan_tells_each_step_and_what_is_there_already() -> None:
    function = Function("f", Path("/p/f"), "python3.13", "app.py")
    install = needed(PYTHON, req=b"flask\n")
    steps = plan.plan(function, PYTHON, ["app.py"], install, Known(False, True, False), ship=True)
    assert [(step.action, step.cached) for step in steps] == [
        (Action.INSTALL, True),
        (Action.COMPILE, False),
        (Action.BUNDLE, False),
        (Action.IMAGE, False),
    ]
    steps = plan.plan(function, PYTHON, ["page.html"], None, Known(True, None, True), ship=False)
    assert [(step.action, step.cached) for step in steps] == [(Action.BUNDLE, True)]
