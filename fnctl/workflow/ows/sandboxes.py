"""Containers, scripts and shell commands of workflows: one hardened container each, removed at its end."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fnctl import catalog
from fnctl.engine.port import LABEL_ROLE, Engine, RunResult
from fnctl.errors import FnctlError
from fnctl.model import SandboxSpec
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.world import Process, ProcessResult, Step
from fnctl.tasks import Tasks

T = TypeVar("T")
TIMEOUT_S = 900.0  # of one process; a task's own `timeout` can be shorter
MEMORY_MB = 256
UID = 65_500  # no slot has it
_IN = "/fnctl"  # where its files are, read-only
_SUFFIX = {"javascript": "mjs", "python": "py"}
_RUNS = {"javascript": "node", "python": "python3"}


@dataclass(frozen=True, slots=True)
class Settings:
    """`image`: that of sandboxes, with the default runtimes. `labels`: on all that a run of the project makes."""

    image: Callable[[], str]
    labels: Mapping[str, str]
    folder: Path  # for files of processes; on a disk that the engine can mount


class Sandboxes:
    """On the event loop's thread; the engine's calls are made in its executor."""

    def __init__(self, engine: Engine, executor: Any, settings: Settings) -> None:
        self._engine = engine
        self._executor = executor
        self._settings = settings
        self._tasks = Tasks()

    async def run(self, step: Step, process: Process, awaited: bool) -> ProcessResult | None:
        """Raises Fault where it could not be run to its end."""
        work = asyncio.ensure_future(self._in_thread(step, process))
        if awaited:
            return await work

        async def aside() -> None:
            await asyncio.gather(work, return_exceptions=True)

        self._tasks.spawn(aside())
        return None

    async def _in_thread(self, step: Step, process: Process) -> ProcessResult:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, step, process)

    def _run(self, step: Step, process: Process) -> ProcessResult:
        folder = Path(tempfile.mkdtemp(prefix="process-", dir=self._settings.folder))
        try:
            folder.chmod(0o755)
            if process.kind == "container":
                self._ensure(process)
            spec = self._spec(step, process, folder)
            result = self._engine.run(spec, timeout_s=TIMEOUT_S)
        except FnctlError as error:
            raise standard("runtime", f"{process.kind} {process.what[:80]}: {error.message}") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return _result(process, result)

    def _ensure(self, process: Process) -> None:
        """The image, as the policy for pulling it says."""
        known = self._engine.image(process.what)
        if process.pull == "always" or (known is None and process.pull != "never"):
            self._engine.pull(process.what)

    def _spec(self, step: Step, process: Process, folder: Path) -> SandboxSpec:
        image, command, environment = self._command(process, folder)
        name = re.sub(r"[^a-zA-Z0-9_.-]", "-", process.name or f"run-{step.run}-{step.key}")[-120:].strip("-.")
        return SandboxSpec(
            name=f"fnctl-{name}-{step.attempt}",
            image=image,
            command=command,
            labels=tuple({**self._settings.labels, LABEL_ROLE: "workflow"}.items()),
            uid=UID,
            mounts=((str(folder), _IN, True),),
            memory_mb=MEMORY_MB,
            environment=tuple({**environment, **process.environment}.items()),
        )

    def _command(self, process: Process, folder: Path) -> tuple[str, tuple[str, ...], Mapping[str, str]]:
        """Image, words and environment. What the process reads is a file beside it."""
        redirect = ""
        if process.stdin is not None:
            _write(folder / "stdin", process.stdin)
            redirect = f" <{_IN}/stdin"
        if process.kind == "container":
            if process.command is None:
                if redirect or process.arguments:
                    raise standard("configuration", "`stdin` and `arguments` of a container need its `command`")
                return process.what, (), {}
            return process.what, _shell(process.command, redirect, process, folder), {}
        if process.kind == "shell":
            return self._settings.image(), _shell(process.what, redirect, process, folder), {}
        file = f"script.{_SUFFIX[process.what]}"
        _write(folder / file, process.code or "")
        line = f'exec {_RUNS[process.what]} {_IN}/{file} "$@"{redirect}'
        return self._settings.image(), ("/bin/sh", "-c", line, "sh", *process.arguments), _path(process.what)


def _shell(command: str, redirect: str, process: Process, folder: Path) -> tuple[str, ...]:
    """A command as the shell has it, its arguments as $1, $2 and so on."""
    _write(folder / "command", command)
    return ("/bin/sh", "-c", f". {_IN}/command{redirect}", "sh", *process.arguments)


def _path(language: str) -> Mapping[str, str]:
    """Where the interpreter is, as a `command` on its runtime finds it."""
    wanted = {"javascript": "node"}.get(language, language)
    for spec in catalog.default_runtimes():
        if spec.language == wanted:
            return dict(spec.commands)
    return {}


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o644)


def _result(process: Process, result: RunResult) -> ProcessResult:
    if result.timed_out:
        raise standard("timeout", f"{process.kind} {process.what[:80]} ran longer than {TIMEOUT_S:g} s")
    return ProcessResult(result.exit_code, result.stdout, result.stderr)
