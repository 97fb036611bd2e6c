"""fnctl.yaml: what is accepted, and what is said of what is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl import catalog, config
from fnctl.config.trigger_keys import TriggerEntry
from fnctl.config.units import duration_s, size_mb
from fnctl.errors import ConfigError, NotFound
from fnctl.model import (
    Broker,
    Contract,
    Egress,
    Function,
    HttpTrigger,
    Isolation,
    Model,
    Network,
    Project,
    Reach,
    Scale,
    Service,
    TriggerKind,
)

SHIPPED = catalog.runtimes()
RUNTIMES = {
    name: replace(SHIPPED[name], contracts=(Contract.WEB, Contract.EVENT, Contract.FC_EVENT))
    for name in ("node22", "node24", "python3.13")
}


def load(root: Path, text: str, environ: Mapping[str, str] | None = None) -> Project:
    """Load `text` as the fnctl.yaml of a folder that has a Node app in todos/ and a Python one in api/."""
    code = {"todos/index.js": "exports.run = (event) => 1\n", "api/handler.py": "def main(event, context):\n    ...\n"}
    for file, content in code.items():
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(content)
    (root / "fnctl.yaml").write_text(text)
    return config.load(root, environ=environ or {}, runtimes=RUNTIMES)


def problem(root: Path, text: str, environ: Mapping[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(root, text, environ)
    return caught.value


TODOS = "functions:\n  todos:\n    path: todos\n    runtime: node24\n    handler: index.js\n"
API = "  api:\n    path: api\n    runtime: python3.13\n    handler: handler.main\n"


def test_the_least_file_gets_every_default(tmp_path: Path) -> None:
    (function,) = load(tmp_path, TODOS).functions
    assert function == Function(name="todos", path=tmp_path / "todos", runtime="node24", handler="index.js")


def test_every_key_arrives(tmp_path: Path) -> None:
    text = TODOS + (
        "    model: ephemeral\n    isolation: container\n    environment: {B: 1.10, A: yes}\n    timeout: 500ms\n"
        "    memory: 1g\n    cpus: 0.5\n    queue: 7\n    scale: {min: 1, max: 3}\n    idle_timeout: 2m\n    keep: 5m\n"
        "    network: services\n    triggers:\n      - http: {path: '/t/{id}', methods: [get, POST], host: a.test}\n"
        "services:\n  store: {type: data}\n"
    )
    project = load(tmp_path, text)
    assert project.functions == (
        Function(
            name="todos",
            path=tmp_path / "todos",
            runtime="node24",
            handler="index.js",
            model=Model.EPHEMERAL,
            isolation=Isolation.CONTAINER,
            environment=(("A", "yes"), ("B", "1.10")),
            timeout_s=0.5,
            memory_mb=1024,
            cpus=0.5,
            concurrency=1,
            queue=7,
            scale=Scale(1, 3),
            idle_timeout_s=120.0,
            keep_s=300.0,
            network=Network.SERVICES,
            triggers=(HttpTrigger("/t/{id}", frozenset({"GET", "POST"}), "a.test"),),
        ),
    )
    assert project.services == (Service("store", "data"),)
    assert project.file == tmp_path / "fnctl.yaml"


def test_keep_and_warmup_arrive_and_keep_may_be_nothing(tmp_path: Path) -> None:
    (function,) = load(tmp_path, TODOS + "    keep: 0s\n    warmup: /health?deep=1\n").functions
    assert (function.keep_s, function.warmup) == (0.0, "/health?deep=1")
    (function,) = load(tmp_path, TODOS).functions
    assert (function.keep_s, function.warmup) == (600.0, "")


def test_a_project_may_have_a_name_which_is_read_also_where_the_rest_is_broken(tmp_path: Path) -> None:
    project = load(tmp_path, 'name: "shop" # ours\n' + TODOS)
    assert (project.name, project.id) == ("shop", config.project_id(tmp_path))
    assert load(tmp_path, TODOS).name is None
    assert load(tmp_path, TODOS).id != project.id
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "fnctl.yaml").write_text("functions: [\nname: shop\n")
    assert config.project_id(other) == project.id


def test_a_release_behind_a_link_is_known_by_the_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        load(tmp_path / release, TODOS)
    link = tmp_path / "current"
    link.symlink_to("1")
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))
    first = config.load(Path.cwd(), environ={}, runtimes=RUNTIMES)
    assert (first.place, first.root) == (link, tmp_path / "1")
    assert config.load(Path("/"), link / "fnctl.yaml", environ={}, runtimes=RUNTIMES).id == first.id
    link.unlink()
    link.symlink_to("2")
    monkeypatch.chdir(link)
    second = config.load(Path.cwd(), environ={}, runtimes=RUNTIMES)
    assert (second.id, second.root) == (first.id, tmp_path / "2")
    monkeypatch.setenv("PWD", "/somewhere/else")
    assert config.load(Path.cwd(), environ={}, runtimes=RUNTIMES).place == tmp_path / "2"


def test_egress_opens_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    (closed,) = load(tmp_path, TODOS + "    network: egress\n").functions
    assert closed.reach == Reach(Network.EGRESS, Egress(host=False, link_local=False))
    (opened,) = load(tmp_path, TODOS + "    network: egress\n    egress: {link_local: true}\n").functions
    assert opened.reach == Reach(Network.EGRESS, Egress(host=False, link_local=True))
    assert closed.reach != opened.reach


def test_every_kind_of_trigger_is_a_key_of_the_file(tmp_path: Path) -> None:
    assert set(TriggerEntry.model_fields) == {*TriggerKind, *Broker} - {TriggerKind.BROKER}
    text = TODOS + "    triggers:\n      - http: {path: /a}\n      - http: {path: /b, methods: [post]}\n"
    (function,) = load(tmp_path, text).functions
    assert [trigger.kind for trigger in function.triggers] == [TriggerKind.HTTP, TriggerKind.HTTP]
    assert function.routes == (HttpTrigger("/a"), HttpTrigger("/b", frozenset({"POST"})))


def test_concurrency_depends_on_the_language(tmp_path: Path) -> None:
    project = load(tmp_path, TODOS + API)
    assert {each.name: each.concurrency for each in project.functions} == {"todos": 64, "api": 16}


@pytest.mark.parametrize(
    ("keys", "concurrency"),
    [("contract: lambda", 1), ("contract: lambda\n    concurrency: 8", 8), ("contract: openfaas", 64)],
)
def test_concurrency_is_what_the_contracts_platform_promises(tmp_path: Path, keys: str, concurrency: int) -> None:
    known = {name: replace(spec, contracts=tuple(Contract)) for name, spec in RUNTIMES.items()}
    load(tmp_path, TODOS)
    (tmp_path / "fnctl.yaml").write_text(f"{TODOS}    {keys}\n")
    project = config.load(tmp_path, environ={}, runtimes=known)
    assert project.functions[0].concurrency == concurrency


def test_found_from_a_folder_below_and_the_id_is_the_roots(tmp_path: Path) -> None:
    load(tmp_path, TODOS)
    project = config.load(tmp_path / "todos", environ={}, runtimes=RUNTIMES)
    assert project.root == tmp_path
    assert project.id == config.project_id(tmp_path)
    assert len(project.id) == 12


@pytest.mark.parametrize(
    ("text", "line", "said", "hint"),
    [
        (TODOS + "    timout: 3s\n", 6, "unknown key `timout` in functions.todos", "did you mean `timeout`?"),
        (TODOS + "    scale: {mni: 1}\n", 6, "unknown key `mni` in functions.todos.scale", "did you mean `min`?"),
        (TODOS + "    triggers:\n      - http: {pth: /a, path: /}\n", 7, "unknown key `pth`", "`path`"),
        ("function:\n  a: {}\n", 1, "unknown key `function`", "did you mean `functions`?"),
        ("functions: [1\n", 2, "not valid YAML", None),
        ("functions:\n\ta: 1\n", 2, "not valid YAML", "spaces"),
        ("functions: 3\n", 1, "functions must be keys and values, found `3`", None),
        ("name: a/b\n" + TODOS, 1, "name", None),
        (TODOS + "    egress: {host: true}\n", 6, "has `egress` with `network: none`", "network: egress"),
        (TODOS + "    timeout: 30\n", 6, "`30` is not a duration", "30s"),
        (TODOS + "    timeout: 0s\n", 6, "timeout of function `todos`", None),
        (TODOS + "    memory: lots\n", 6, "`lots` is not a size", "128m"),
        (TODOS + "    memory: 1m\n", 6, "the minimum is 32m", None),
        (TODOS + "    queue: many\n", 6, "functions.todos.queue must be a whole number, found `many`", None),
        (TODOS + "    queue: true\n", 6, "`true` is not a number", None),
        (TODOS + "    model: ephemral\n", 6, "cannot be `ephemral`", "did you mean `ephemeral`?"),
        (
            TODOS + "    model: ephemeral\n    concurrency: 4\n",
            7,
            "has `model: ephemeral` and `concurrency: 4`",
            "resident",
        ),
        (TODOS + "    keep: -1s\n", 6, "is not a duration", None),
        (TODOS + "    warmup: health\n", 6, "functions.todos.warmup", None),
        (
            TODOS + "    warmup: /\n    model: ephemeral\n    isolation: container\n",
            6,
            "has `warmup` with `isolation: container`",
            "no instance serves a second request",
        ),
        (
            TODOS.replace("handler: index.js", "command: [node, index.js]\n    warmup: /"),
            6,
            "a command cannot do",
            None,
        ),
        (TODOS + "    isolation: process\n", 6, "`isolation`", "ephemeral"),
        (TODOS + "    scale: {min: 4, max: 2}\n", 6, "scale.min 4", None),
        (TODOS + "    timeout: 3s\n    timeout: 4s\n", 7, "duplicate key `timeout`; first in line 6", None),
        (TODOS + TODOS.removeprefix("functions:\n"), 6, "duplicate key `todos`; first in line 2", None),
        (TODOS + "    environment: {A: '${NOPE}'}\n", 6, "NOPE is not set", "${NOPE:-…}"),
        (TODOS + "    environment: {A: '${NO'}\n", 6, "`${` is not followed by a name", "$$"),
        (TODOS + "    environment: {A: }\n", 6, "functions.todos.environment.A must be text, found nothing", None),
        (TODOS.replace("  todos:", "  Todos_1:"), 2, "invalid name `Todos_1` in functions", "lower-case"),
        (TODOS.replace("path: todos", "path: todo"), 3, "folder `todo` of function `todos` does not exist", "relative"),
        (TODOS.replace("node24", "node2"), 4, "unknown runtime `node2`", "node22, node24, python3.13"),
        (TODOS.replace("index.js", "indx.js"), 5, "handler file `indx.js`", "did you mean `index.js`?"),
        (TODOS.replace("index.js", "../x.js"), 5, "is outside its folder", None),
        (TODOS.replace("index.js", "app.main"), 5, "module `app` of handler `app.main`", "app.js"),
        (
            TODOS.replace("index.js", "index.rum"),
            5,
            "handler `index.rum` of function `todos`: index defines no `rum`",
            "did you mean `run`?",
        ),
        (
            API.replace("  api:", "functions:\n  api:").replace("handler.main", "handler.mian"),
            5,
            "handler `handler.mian` of function `api`: handler defines no `mian`",
            "did you mean `main`?",
        ),
        (TODOS + "    contract: lamda\n", 6, "functions.todos.contract cannot be `lamda`", "did you mean `lambda`?"),
        (
            TODOS + "    contract: lambda\n",
            6,
            "function `todos` has `contract: lambda`, unsupported in node24",
            "node24 supports: web, event",
        ),
        (
            API.replace("  api:", "functions:\n  api:").replace("handler.main", "handler.py")
            + "    contract: fc-event\n",
            6,
            "which needs a function; `handler.py` is a file",
            "`handler: handler.handler`",
        ),
        (
            TODOS + "    initializer: index.run\n",
            6,
            "function `todos` has `initializer` with no `contract`",
            "fc-event or fc-http",
        ),
        (
            TODOS.replace("index.js", "index.run") + "    contract: event\n    initializer: index.run\n",
            7,
            "has `initializer` with `contract: event`",
            "fc-event",
        ),
        (
            TODOS.replace("index.js", "index.run") + "    contract: fc-event\n    initializer: index.ran\n",
            7,
            "initializer `index.ran` of function `todos`: index defines no `ran`",
            "did you mean `run`?",
        ),
        (
            TODOS.replace("index.js", "index.run") + "    contract: fc-event\n    initializer: gone.run\n",
            7,
            "module `gone` of initializer `gone.run`",
            "looked for gone.js",
        ),
        (TODOS + "include: [other]\n", 6, "no such file: other", None),
        ("services: {a: {}}\n", 1, "key `type` is missing in services.a", None),
        ("", None, "must contain keys and values, found nothing", None),
    ],
)
def test_a_problem_is_told_with_its_line(
    tmp_path: Path, text: str, line: int | None, said: str, hint: str | None
) -> None:
    error = problem(tmp_path, text)
    assert error.message.startswith(f"fnctl.yaml:{line}: " if line else "fnctl.yaml: ")
    assert said in error.message
    assert hint is None or hint in (error.hint or "")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = (
        TODOS.replace("index.js", "gone.js")
        + "    timeout: soon\n"
        + API.replace("path: api", "path: apis")
        + "servces: {}\n"
    )
    message = problem(tmp_path, text).message
    for expected in ("fnctl.yaml:6:", "fnctl.yaml:8:", "fnctl.yaml:11:"):
        assert expected in message
    assert "3 problems" in message


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${A}", "1"),
        ("x${A}y", "x1y"),
        ("${B:-2}", "2"),
        ("${A:-2}", "1"),
        ("$${A}", "${A}"),
        ("$A", "$A"),
        ("${E:-d}", "d"),
    ],
)
def test_variables_are_filled_in(tmp_path: Path, written: str, read: str) -> None:
    project = load(tmp_path, TODOS + f"    environment: {{X: '{written}'}}\n", {"A": "1", "E": ""})
    assert dict(project.functions[0].environment)["X"] == read


def test_a_variable_may_stand_for_a_number(tmp_path: Path) -> None:
    assert load(tmp_path, TODOS + "    queue: ${Q:-5}\n").functions[0].queue == 5


def test_anchors_and_merges(tmp_path: Path) -> None:
    text = "x-small: &small {memory: 64m}\n" + TODOS + "    <<: *small\n"
    assert load(tmp_path, text).functions[0].memory_mb == 64


def test_aliases_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    bomb = "x-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert "YAML aliases expand" in problem(tmp_path, bomb + TODOS).message
    assert "YAML aliases expand" in problem(tmp_path, "x-a: &a [*a]\n" + TODOS).message


class TestInclude:
    def included(self, root: Path, text: str) -> None:
        (root / "other").mkdir()
        (root / "other" / "main.py").touch()
        (root / "other" / "fnctl.yaml").write_text(text)

    def test_paths_are_relative_to_the_included_file(self, tmp_path: Path) -> None:
        self.included(tmp_path, "functions:\n  o: {path: ., runtime: python3.13, handler: main.py}\ninclude: ['..']\n")
        project = load(tmp_path, TODOS + "include: [other/fnctl.yaml]\n")
        assert {each.name: each.path for each in project.functions} == {
            "todos": tmp_path / "todos",
            "o": tmp_path / "other",
        }

    def test_equal_services_are_one(self, tmp_path: Path) -> None:
        self.included(tmp_path, "services: {store: {type: data}}\n")
        project = load(tmp_path, TODOS + "services: {store: {type: data}}\ninclude: [other]\n")
        assert project.services == (Service("store", "data"),)

    def test_a_function_twice_names_both_lines(self, tmp_path: Path) -> None:
        self.included(tmp_path, "\nfunctions:\n  todos: {path: ., runtime: python3.13, handler: main.py}\n")
        message = problem(tmp_path, TODOS + "include: [other/fnctl.yaml]\n").message
        assert message == "other/fnctl.yaml:3: function `todos` is already declared at fnctl.yaml:2"


def test_no_project_at_all(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no app found"):
        config.load(tmp_path, environ={}, runtimes=RUNTIMES)
    with pytest.raises(NotFound, match="no such project file"):
        config.load(tmp_path, tmp_path / "gone.yaml", environ={}, runtimes=RUNTIMES)


def test_the_schema_describes_every_key() -> None:
    schema = config.schema()
    places = [schema, *schema["$defs"].values()]
    undescribed = [
        key for place in places for key, value in place.get("properties", {}).items() if "description" not in value
    ]
    assert undescribed == []
    assert schema["$defs"]["FunctionEntry"]["properties"]["timeout"]["default"] == "30s"
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("1.5 s", 1.5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(("text", "mb"), [("128m", 128), ("128mb", 128), ("128MiB", 128), ("1g", 1024), ("1.5G", 1536)])
def test_sizes(text: str, mb: int) -> None:
    assert size_mb(text) == mb


@given(st.one_of(st.text(), st.integers(), st.booleans(), st.none()))
def test_units_refuse_with_nothing_but_a_value_error(value: object) -> None:
    for parse in (duration_s, size_mb):
        try:
            assert parse(value) >= 0
        except ValueError as error:
            assert "write it like" in str(error)
