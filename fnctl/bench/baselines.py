"""What one would run instead of fnctl: the bare process, or a plain container of it; each timed to its first answer."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fnctl.bench import calls, containers
from fnctl.bench.calls import Target
from fnctl.bench.containers import LABELS
from fnctl.bench.interpreter import Interpreter
from fnctl.bench.measure import NotMeasured
from fnctl.model import Function, RuntimeSpec

FIRST_ANSWER_S = 30.0
END_S = 5.0
# Docker's port proxy accepts before the container's network is up, and its first packet is then sent again only after a
# second: whoever waits on such a connection sees a start of one second whatever the app does.
PROXY_PATIENCE_S = 0.03
SITE = ".fnctl/site-packages"  # where a Python bundle keeps what pip installed


@dataclass(frozen=True, slots=True)
class Program:
    """An app as anybody would run it: `argv` after the interpreter; `path`: what to ask it for."""

    interpreter: Interpreter
    root: Path
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    path: str
    public: tuple[str, ...] = ()  # arguments that make it listen on all addresses, where `arguments` do not

    def started(self, port: int | Path) -> subprocess.Popen[bytes]:
        """The bare process, in a session of its own, on a port or a unix socket: servers of Node's take either."""
        settings = {**dict(self.environment), **dict(self.interpreter.environment), "PORT": str(port)}
        return subprocess.Popen(
            [*self.interpreter.argv, *self.arguments],
            cwd=self.root,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def container_argv(self, name: str, image: str, port: int) -> list[str]:
        """`docker run -p` of it: the code mounted read-only at /app, the image's own interpreter."""
        settings = {**dict(self.environment), "PORT": str(port)}
        if "PYTHONPATH" in settings:
            settings["PYTHONPATH"] = f"/app/{SITE}"
        variables = [word for key, value in settings.items() for word in ("-e", f"{key}={value}")]
        command = [word.replace("{port}", str(port)) for word in self.public or self.arguments]
        return [
            *(containers.program(), "run", "--rm", "--name", name, *LABELS, "-p", f"127.0.0.1:{port}:{port}"),
            *("-v", f"{self.root}:/app:ro", "-w", "/app", *variables),
            *("--entrypoint", self.interpreter.inside, image, *command),
        ]


def program(function: Function, spec: RuntimeSpec, interpreter: Interpreter, bundle: Path, path: str) -> Program:
    """NotMeasured where the function is no program by itself: a handler has to be called by something."""
    if not (bundle / function.handler).is_file():
        raise NotMeasured(
            f"{function.name}: the handler {function.handler} is called by fnctl, not a program of its own"
        )
    python = spec.language == "python"
    environment = dict(function.environment)
    if python:
        environment["PYTHONPATH"] = str(bundle / SITE)
    flask = python and (bundle / SITE / "flask").is_dir()
    return Program(
        interpreter=interpreter,
        root=bundle,
        arguments=(function.handler,),
        environment=tuple(environment.items()),
        path=path,
        # `app.run()` listens on the container's loopback alone, where no published port leads
        public=("-m", "flask", "--app", function.handler, "run", "--host", "0.0.0.0", "--port", "{port}")
        if flask
        else (),
    )


@contextmanager
def serving(bare: Program) -> Iterator[tuple[int, int]]:
    """The bare process, up and answering: its pid and its port."""
    port = calls.free_port()
    child = bare.started(port)
    try:
        _answer(bare, port, lambda: child.poll() is None)
        yield child.pid, port
    finally:
        _end(child)


def spawn_to_first_answer(bare: Program) -> float:
    """Milliseconds from before the spawn of the bare process to its first successful answer. It is ended after that."""
    port = calls.free_port()
    began = time.perf_counter()
    child = bare.started(port)
    try:
        _answer(bare, port, lambda: child.poll() is None)
        return (time.perf_counter() - began) * 1000
    finally:
        _end(child)


def run_to_first_answer(bare: Program, image: str) -> float:
    """Milliseconds from before `docker run -p` of the same program to its first successful answer, then removed."""
    name, port = f"fnctl-bench-{secrets.token_hex(4)}", calls.free_port()
    argv = bare.container_argv(name, image, port)
    began = time.perf_counter()
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _answer(bare, port, lambda: child.poll() is None, PROXY_PATIENCE_S)
        return (time.perf_counter() - began) * 1000
    finally:
        containers.remove(name)
        _end(child)


def _answer(bare: Program, port: int, alive: Callable[[], bool], patience_s: float = FIRST_ANSWER_S) -> None:
    target = Target(("127.0.0.1", port), f"127.0.0.1:{port}", bare.path)
    if calls.first_success(target, time.perf_counter() + FIRST_ANSWER_S, alive, patience_s) is None:
        what = " ".join((Path(bare.interpreter.inside).name, *bare.arguments))
        ended = "" if alive() else "; it ended"
        raise NotMeasured(f"`{what}` gave no successful answer for {bare.path} within {FIRST_ANSWER_S:.0f} s{ended}")


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait(END_S)
