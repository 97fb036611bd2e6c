"""What the schema cannot tell of a definition: expressions that do not parse, names that nothing has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fnctl.openworkflow.definition import PROTOCOLS, Definition, is_address
from fnctl.openworkflow.expression import Expression, ExpressionError, bare, inner
from fnctl.openworkflow.reading import Path, Source, Trouble
from fnctl.openworkflow.validation import kind_of, near, task_lists
from fnctl.schedule import cron_problem

# Where a text is an expression also without `${ }`.
_ALWAYS = frozenset({"if", "when", "exceptWhen", "while", "from", "as", "until", "expect"})
_GIVEN = frozenset({"context", "input", "output", "secrets", "authorization", "task", "workflow", "runtime"})
_DIRECTIVES = frozenset({"continue", "exit", "end"})
REFUSED = {
    "grpc": "call an HTTP endpoint of the service, or a function that speaks gRPC",
    "mcp": "call a function that speaks MCP",
    "a2a": "call a function that speaks A2A",
}
# Of `run: container`.
UNSANDBOXED = {
    "ports": "what listens is a function: `command:` in fnctl.yaml runs any program",
    "volumes": "pass data in by `stdin`, `arguments` or `environment`, and out by what it prints",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a project has, by name. None: it is not known, and not asked for."""

    functions: frozenset[str] | None = None
    secrets: frozenset[str] | None = None
    workflows: frozenset[str] | None = None  # as str(Identity), and without the version


def check(source: Source, definition: Definition, around: Surroundings | None = None) -> None:
    """Tell of everything that could not run."""
    _Check(source, definition, around or Surroundings()).run()


class _Check:
    def __init__(self, source: Source, definition: Definition, around: Surroundings) -> None:
        self._source = source
        self._definition = definition
        self._around = around

    def run(self) -> None:
        data = self._definition.data
        major = str(data["document"]["dsl"]).split(".")[0]
        if major != "1":
            self._say(
                ("document", "dsl"), f"version {data['document']['dsl']} of the language is not known", "use 1.0.3"
            )
        self._tasks(("do",), data["do"], _GIVEN)
        for key in ("input", "output"):
            self._values((key,), data.get(key), _GIVEN)
        self._reference(("timeout",), "timeouts", data.get("timeout"))
        self._schedule(data.get("schedule", {}))
        self._reusable(data.get("use", {}))

    def _reusable(self, use: Mapping[str, Any]) -> None:
        for name, task in use.get("functions", {}).items():
            self._task(("use", "functions", name), name, task, _GIVEN, {name})
        for index, item in enumerate(use.get("extensions", ())):
            for name, extension in item.items():
                path: Path = ("use", "extensions", index, name)
                self._values((*path, "when"), extension.get("when"), _GIVEN, always=True)
                for key in ("before", "after"):
                    self._tasks((*path, key), extension.get(key, []), _GIVEN)
        for key in ("authentications", "errors", "retries", "timeouts"):
            self._values(("use", key), use.get(key), _GIVEN | {"error"})
        known = self._around.secrets
        for index, name in enumerate(use.get("secrets", ())):
            if known is not None and name not in known:
                self._say(("use", "secrets", index), f"the project has no secret `{name}`", _hint(name, known))

    def _schedule(self, schedule: Mapping[str, Any]) -> None:
        if "cron" in schedule and (problem := cron_problem(schedule["cron"])) is not None:
            self._say(("schedule", "cron"), problem, "minute, hour, day, month, weekday")
        self._values(("schedule", "on"), schedule.get("on"), _GIVEN)

    # -- tasks -----------------------------------------------------------------------------------------------------

    def _tasks(self, path: Path, tasks: list[Mapping[str, Any]], known: frozenset[str]) -> None:
        names = [name for item in tasks for name in item]
        for index, item in enumerate(tasks):
            for name, task in item.items():
                here = (*path, index, name)
                if names.index(name) < index:
                    self._say(here, f"two tasks of one list are named `{name}`", "`then` could mean either")
                self._task(here, name, task, known, set(names))

    def _task(self, path: Path, name: str, task: Mapping[str, Any], known: frozenset[str], beside: set[str]) -> None:
        lists = dict(task_lists(task))
        own = {place[0] for place in lists if len(place) == 1}
        for key, value in task.items():
            if key not in own:
                self._values((*path, key), value, known | _more(task), always=key in _ALWAYS, below=lists)
        for at, directive in _directives(path, task):
            if directive not in _DIRECTIVES and directive not in beside:
                hint = near(directive, beside | _DIRECTIVES)
                about = f"did you mean `{hint}`?" if hint else f"tasks there: {', '.join(sorted(beside))}"
                self._say(at, f"`then` of `{name}` leads to `{directive}`, which is no task of the same list", about)
        self._names(path, task)
        for place, tasks in lists.items():
            more = _more(task) if place != ("try",) and place != ("compensate",) else frozenset()
            self._tasks((*path, *place), tasks, known | more)

    def _names(self, path: Path, task: Mapping[str, Any]) -> None:
        self._reference((*path, "timeout"), "timeouts", task.get("timeout"))
        kind = kind_of(task)
        if kind == "raise":
            self._reference((*path, "raise", "error"), "errors", task["raise"].get("error"))
        elif kind == "try":
            self._reference((*path, "catch", "retry"), "retries", task["catch"].get("retry"))
        elif kind == "call":
            self._call((*path, "call"), str(task["call"]))
        elif kind == "run":
            self._workflow((*path, "run", "workflow"), task["run"].get("workflow"))
            self._container((*path, "run", "container"), task["run"].get("container") or {})
        for at, policy in _authentications((*path, "with"), task.get("with")):
            if isinstance(policy, Mapping) and "use" in policy:
                self._authentication((*at, "use"), str(policy["use"]))

    def _call(self, path: Path, name: str) -> None:
        if name in REFUSED:
            self._say(path, f"`call: {name}` is not supported", REFUSED[name])
        own = self._definition.data.get("use", {}).get("functions", {})
        known = self._around.functions
        if name in PROTOCOLS or name in own or is_address(name) or known is None or name in known:
            return
        words = {*known, *own, *PROTOCOLS}
        self._say(path, f"no function is named `{name}`", _hint(name, words))

    def _workflow(self, path: Path, said: Mapping[str, Any] | None) -> None:
        known = self._around.workflows
        if said is None or known is None:
            return
        name = f"{said['namespace']}/{said['name']}"
        version = said.get("version", "latest")
        if (name if version == "latest" else f"{name}@{version}") not in known:
            self._say(path, f"no workflow is known as {name} in version {version}", _hint(name, known))

    def _container(self, path: Path, said: Mapping[str, Any]) -> None:
        for key, hint in UNSANDBOXED.items():
            if said.get(key):
                self._say((*path, key), f"`{key}` of a container are not supported: it is sandboxed", hint)

    def _authentication(self, path: Path, name: str) -> None:
        use = self._definition.data.get("use", {})
        known = {*use.get("authentications", {}), *use.get("secrets", ())}
        if name not in known:
            self._say(path, f"no authentication and no secret of `use` is named `{name}`", _hint(name, known))

    def _reference(self, path: Path, kind: str, name: Any) -> None:
        known = self._definition.data.get("use", {}).get(kind, {})
        if isinstance(name, str) and name not in known:
            self._say(path, f"`use.{kind}` has no `{name}`", _hint(name, known))

    # -- expressions -----------------------------------------------------------------------------------------------

    def _values(
        self, path: Path, value: Any, known: frozenset[str], *, always: bool = False, below: Iterable[Path] = ()
    ) -> None:
        """Every expression in a value; not those in lists of tasks below, which have variables of their own."""
        if isinstance(value, str):
            if always or inner(value) is not None:
                self._expression(path, value, known)
        elif isinstance(value, Mapping):
            for key, each in value.items():
                here = (*path, key)
                if not any(here[-len(place) :] == place for place in below):
                    self._values(here, each, known, always=_is_expression(path, key), below=below)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                self._values((*path, index), each, known, below=below)

    def _expression(self, path: Path, text: str, known: frozenset[str]) -> None:
        try:
            expression = Expression(bare(text))
        except ExpressionError as error:
            line = self._source.line(path) + error.line - 1
            said = f"the expression `{bare(text)}` does not parse, at its column {error.column}: {error.message}"
            self._source.troubles.append(Trouble(self._source.file, line, said, "expressions are jq"))
            return
        for name in sorted(expression.variables - known):
            self._say(path, f"`${name}` in `{bare(text)}` is not defined here", _hint(name, known))
        if "secrets" in expression.variables:
            self._secrets(path, text)

    def _secrets(self, path: Path, text: str) -> None:
        import re

        declared = self._definition.secrets
        for name in re.findall(r"\$secrets\.([A-Za-z_]\w*)", text):
            if name not in declared:
                self._say(path, f"`use.secrets` does not name `{name}`", _hint(name, declared))

    def _say(self, path: Path, text: str, hint: str | None = None) -> None:
        self._source.trouble(path, text, hint)


def _is_expression(path: Path, key: str) -> bool:
    """Whether a text at this key is an expression, with or without `${ }`."""
    above = path[-1] if path else ""
    return (
        (key in ("when", "exceptWhen", "while", "until"))
        or (key == "in" and above == "for")
        or (key == "from" and above == "input")
        or (key == "as" and above in ("output", "export"))
        or (key == "from" and len(path) > 1 and path[-2] == "correlate")
    )


def _more(task: Mapping[str, Any]) -> frozenset[str]:
    """The variables that a task gives to what is within it."""
    kind = kind_of(task)
    if kind == "for":
        return frozenset({task["for"].get("each", "item"), task["for"].get("at", "index")})
    if kind == "try":
        return frozenset({task["catch"].get("as", "error")})
    iterator = task.get("foreach") or (task.get("with") or {}).get("subscription", {}).get("foreach")
    if isinstance(iterator, Mapping):
        return frozenset({iterator.get("item", "item"), iterator.get("at", "index")})
    return frozenset()


def _directives(path: Path, task: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    if "then" in task:
        yield (*path, "then"), task["then"]
    for index, item in enumerate(task.get("switch", ())):
        for name, case in item.items():
            yield (*path, "switch", index, name, "then"), case["then"]


def _authentications(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key == "authentication":
                yield (*path, key), each
            elif key != "foreach":
                yield from _authentications((*path, key), each)


def _hint(name: str, known: Iterable[str]) -> str:
    words = sorted(known)
    hint = near(name, words)
    return f"did you mean `{hint}`?" if hint else f"known: {', '.join(words) or 'none'}"
