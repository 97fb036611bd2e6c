"""A language runtime, as the `runtime.yaml` of its folder under `layers/` declares it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fnctl.model.contract import Contract

INSTALLING = "installing the dependencies of"


@dataclass(frozen=True, slots=True)
class InstallRule:
    """How dependencies are installed where the function's folder holds all of `files`; `runtime.yaml` declares them.

    `run` is run in a copy of the folder, in a container of the sandbox image; what it needs stands at `result` after
    it (a path in that folder). A rule with `refuse` runs nothing: it says why such a folder cannot be installed.
    """

    files: tuple[str, ...]
    run: tuple[str, ...]
    result: str
    environment: tuple[tuple[str, str], ...] = ()
    what: str = INSTALLING  # in messages, before the function's name
    carries: str | None = None  # digest of the runtime's own files that end in the result; None where none do
    tools: tuple[str, ...] = ()  # of the folder's `tools`: they stand at /fn/tools/NAME while it runs
    nested: bool = False  # folders named as `result` elsewhere in the copy, of local packages, are results as well
    text: str | None = None  # an expression that the last of `files` holds, by line, where the rule applies
    refuse: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class ProvideRule:
    """Packages that a platform's own runtime holds, for code that imports them and asks for them in no file.

    `imports` is an expression whose first group is a package's name; `package` what is installed for it, with `{name}`
    where that differs; the packages are added to `run`, which leaves them at `result`, beside what is there.
    """

    contract: Contract
    platform: str  # in messages
    imports: str
    package: str
    run: tuple[str, ...]
    result: str
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CompileRule:
    """What is run over code at /fn/app, with no network, where any file's name ends in `suffix`; in `runtime.yaml`.

    It must add the same bytes each time, since they count in the digest. That some files do not compile is no failure.
    """

    suffix: str
    run: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    tools: tuple[str, ...] = ()  # of the folder's `tools`: they stand at /fn/tools/NAME while it runs
    needed: bool = False  # code does not run without it, or not as well: also after an edit
    dependencies: bool = True  # it is run over installed dependencies, too


@dataclass(frozen=True, slots=True)
class WarmRule:
    """What loads a finished bundle once, with no network, to fill a cache of compiled code; in `runtime.yaml`.

    The words `{handler}` and `{contract}` in `run` stand for the function's own, the latter empty where none is
    configured. The bundle lies at /fn/app, read-only; the cache is what the command leaves in /fn/cache. It counts in
    no digest, and a load that fails only leaves less of it. `suffix`: of a file that the folder must have, for there to
    be anything to load. `ahead`: the agent can read the cache before it is given the function (`ahead` in
    layers/PROTOCOL.md).
    """

    run: tuple[str, ...]
    suffix: str = ""
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class CodeRule:
    """How a language names its code, for `handler` in fnctl.yaml; `code:` in `runtime.yaml`."""

    suffixes: tuple[str, ...] = ()  # a handler that ends so is a file that is run; others are `module.attr`
    modules: tuple[str, ...] = ()  # where the module of `module.attr` may lie: `{path}.py`; none: not looked for
    dotted: bool = False  # `a.b.attr` is the module a/b, as Python has it, and not a file called a.b
    default_export: bool = False  # where a contract calls a function, a file stands for what it exports by default
    concurrency: int = 16  # requests at a time in one instance where the function does not say


@dataclass(frozen=True, slots=True)
class DetectRule:
    """How a folder is told to hold this language's code; `detect:` in `runtime.yaml`, for languages fnctl cannot read.

    It holds where the files of `beside` are all there and some file matches the glob `file`, with a line that matches
    the regular expression `text` if there is one. In `handler`, `{file}` and `{stem}` are that file, and `{NAME}` a
    named group of `text`.
    """

    file: str
    handler: str
    contract: Contract
    beside: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True)
class StartRule:
    """Variables that an interpreter reads as it starts; `start:` in `runtime.yaml`. A function that sets one of them
    has a process of its own from the start, since in one that was booted ahead they come too late."""

    variables: tuple[str, ...] = ()  # as `fnmatch` has patterns; `NAME={value}:x`: the agent is given another value
    agent: tuple[str, ...] = ()  # argv for such a function, where it differs
    template: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()  # those that cannot be had, each with what to do instead


@dataclass(frozen=True, slots=True)
class RuntimeSpec:
    """A language environment, as its folder under `layers/` declares it (`runtime.yaml`)."""

    name: str  # "node24"
    language: str  # "node", "python": which installer and which static reading apply
    version: str  # the interpreter's exact version
    folder: Path  # the folder under layers/
    agent: tuple[str, ...]  # argv of the agent inside the sandbox
    template: tuple[str, ...] = ()  # the same for one that forks an ephemeral function's processes, where that differs
    environment: tuple[tuple[str, str], ...] = ()  # the agent's environment, beside what the function sets
    contracts: tuple[Contract, ...] = (Contract.WEB, Contract.EVENT)  # what its agent can call
    code: CodeRule = CodeRule()
    detect: tuple[DetectRule, ...] = ()
    authorities: tuple[tuple[str, str], ...] = ()  # added to the function's variables where it has `ca`
    commands: tuple[tuple[str, str], ...] = ()  # the environment of a `command` on this runtime: PATH and the like
    booted_as: str = ""  # whose agent `agent` is, where it is not this runtime's own (catalog.runtime_of)
    provides: tuple[ProvideRule, ...] = ()
    install: tuple[InstallRule, ...] = ()  # in order; the first whose files are all there applies
    compile: CompileRule | None = None
    warm: WarmRule | None = None
    start: StartRule = StartRule()
    warmup: bool = False  # its agent can have the code answer a request before it has loaded
    alone: bool = False  # for one function alone, which sets variables of `start`: never booted ahead

    @property
    def tier(self) -> str:
        """What a booted agent calls itself, and what the pool keeps it by: functions that share it share boots."""
        return self.booted_as or self.name
