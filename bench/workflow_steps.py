"""A workflow of three steps over warm functions, each on disk, beside Restate's server with three durable steps.

Restate's steps run within its service's process; fnctl's are calls of functions in their sandboxes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.projects import STEPS, WORKFLOW
from fnctl import catalog, paths
from fnctl.bench import calls, interpreter, load, subject
from fnctl.bench.calls import Target
from fnctl.bench.interleave import Mismatch, interleave
from fnctl.bench.interpreter import Interpreter
from fnctl.bench.load import Load
from fnctl.bench.measure import Measure, NotMeasured, Question
from fnctl.bench.stack import Serving, running
from fnctl.model import Project

CONNECTIONS = 64
BATCH = 100  # runs of which one sample is the median
READY_S = 60.0
END_S = 10.0
SERVICE = Path(__file__).parent / "apps" / "steps" / "service.mjs"

_HOW = "three steps one after the other, each on disk before the next begins, in turns; each of fnctl's is a warm call"
STEPS_MS = Question(
    "workflow-steps",
    "a workflow of three steps, beside Restate",
    f"{_HOW}; one run after the other on a connection that is kept, a sample is the median of {BATCH}",
    "ms",
    over="fnctl ÷ Restate",
)
STEPS_RATE = Question(
    "workflow-rate",
    "workflows of three steps a second, beside Restate",
    f"{_HOW}; {CONNECTIONS} connections",
    "runs/s",
    better=1,
    over="fnctl ÷ Restate",
)


def beside_restate(ask: Question, project: Project, duration_s: float, n: int) -> Measure:
    """Of fnctl alone where Restate is not there."""
    notes: tuple[str, ...] = ()
    with ExitStack() as held:
        stack = held.enter_context(running(project, Serving(STEPS)))
        for name in STEPS:
            stack.warm_up(stack.target(name))
        host = f"127.0.0.1:{stack.port}"
        arms = {"fnctl": Target(("127.0.0.1", stack.port), host, f"/_fnctl/workflows/{WORKFLOW}", "POST")}
        try:
            found = subject.a_sandbox(project).image
            node = interpreter.of_image(found, catalog.runtimes()["node24"], paths.cache() / "bench")
            arms["Restate"] = held.enter_context(restate(node))
        except NotMeasured as missing:
            notes = (missing.message,)
        series = interleave({name: _sample(ask, target, duration_s) for name, target in arms.items()}, n)
    return Measure(ask, tuple(series), notes=notes)


def _sample(ask: Question, target: Target, duration_s: float) -> Callable[[], float]:
    def a_second() -> float:
        outcome = load.apply(Load(target, CONNECTIONS, duration_s))
        if outcome.failed:
            raise Mismatch(f"{outcome.failed} requests failed")
        return outcome.rps

    def one() -> float:
        times = []
        with calls.connect(target.address) as sock:
            for _ in range(BATCH):
                began = time.perf_counter()
                if not calls.exchange(sock, target.request()).ok:
                    raise Mismatch("a run failed")
                times.append((time.perf_counter() - began) * 1000)
        return median(times)

    return a_second if ask is STEPS_RATE else one


@contextmanager
def restate(node: Interpreter) -> Iterator[Target]:
    """Restate's server with its defaults, on disk, and a service of three steps. NotMeasured where it is not there."""
    program = shutil.which("restate-server")
    if program is None:
        raise NotMeasured("restate-server is not installed")
    modules = Path(program).resolve()
    while modules.name != "node_modules":
        if modules == modules.parent:
            raise NotMeasured("Restate's SDK is not beside its server")
        modules = modules.parent
    ingress, admin, peers, service = (calls.free_port() for _ in range(4))
    with tempfile.TemporaryDirectory(prefix="fnctl-restate-") as place, ExitStack() as held:
        folder = Path(place)
        (folder / "node_modules").symlink_to(modules)
        shutil.copy(SERVICE, folder / SERVICE.name)
        settings = {
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{peers}",
            "RESTATE_LISTEN_MODE": "tcp",
            "RUST_LOG": "error",
            "DISABLE_TELEMETRY": "true",
        }
        argv = [program, "--no-logo", "--base-dir", str(folder / "data")]
        held.enter_context(_process(argv, folder, settings))
        own = {**dict(node.environment), "PORT": str(service), "NODE_ENV": "production"}
        held.enter_context(_process([*node.argv, SERVICE.name], folder, own))
        _registered(admin, service)
        target = Target(("127.0.0.1", ingress), f"127.0.0.1:{ingress}", "/steps/three", "POST")
        _until(lambda: calls.call(target).ok, "Restate's service gave no answer")
        yield target


@contextmanager
def _process(argv: list[str], folder: Path, settings: dict[str, str]) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(
        argv,
        cwd=folder,
        env={**os.environ, **settings},
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(END_S)


def _registered(admin: int, service: int) -> None:
    said = f'{{"uri": "http://127.0.0.1:{service}"}}'
    head = (
        f"POST /deployments HTTP/1.1\r\nHost: 127.0.0.1:{admin}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(said)}\r\n\r\n{said}"
    ).encode()

    def register() -> bool:
        with calls.connect(("127.0.0.1", admin)) as sock:
            return calls.exchange(sock, head).ok

    _until(register, "Restate did not take its service")


def _until(done: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            if done():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise NotMeasured(otherwise)
        time.sleep(0.05)
