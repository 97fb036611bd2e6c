"""Ephemeral invocations a second, by isolation, in turns with `docker run --rm` of the same handler."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from fnctl import catalog
from fnctl.bench import containers, load
from fnctl.bench.calls import Target
from fnctl.bench.containers import LABELS
from fnctl.bench.interleave import Mismatch, interleave
from fnctl.bench.load import Load
from fnctl.bench.measure import Measure, NotMeasured, Question
from fnctl.bench.stack import Serving, Stack, running
from fnctl.bench.subject import Subject
from fnctl.model import Model

# As many at a time as there are processors, on both sides: more containers at once start no faster.
PARALLEL = len(os.sched_getaffinity(0))
RUNS = 2 * PARALLEL  # `docker run`s a sample
RUN_S = 60.0

# The handler called once, with the least event that it takes; its answer on stdout.
ONCE = {
    "node": (
        "-e",
        "Promise.resolve(require('/app/'+process.argv[1])[process.argv[2]]"
        "({method:'GET',path:'/',query:{},params:{},headers:{},body:null},{id:'1'}))"
        ".then((answer)=>console.log(JSON.stringify(answer)))",
    ),
    "python": (
        "-c",
        "import importlib,json,sys,types;sys.path.insert(0,'/app');"
        "print(json.dumps(getattr(importlib.import_module(sys.argv[1]),sys.argv[2])"
        "({'method':'GET','path':'/','query':{},'params':{},'headers':{},'body':None},types.SimpleNamespace(id='1'))))",
    ),
}


def question(id_: str, subject_name: str, language: str, isolation: str) -> Question:
    return Question(
        id_,
        f"ephemeral invocations, isolation {isolation}, {language}",
        f"invocations per second, {PARALLEL} at a time, of {subject_name}; in turns: {RUNS} `docker run --rm` of the"
        f" same handler, {PARALLEL} at a time",
        "invocations/s",
        better=1,
        over="fnctl ÷ `docker run --rm`",
    )


def beside_docker_run(ask: Question, subject: Subject, duration_s: float, n: int) -> Measure:
    """NotMeasured where the function is not an ephemeral event handler."""
    if subject.function.model is not Model.EPHEMERAL:
        raise NotMeasured(f"{subject.name} is not ephemeral")
    argv = once_argv(subject)
    with running(subject.project, Serving((subject.name,))) as stack:
        target = stack.target(subject.name)
        stack.warm_up(target)
        arms = {
            f"fnctl, isolation {subject.function.isolation}": lambda: _served(stack, subject.name, target, duration_s),
            "docker run --rm": lambda: _run_each(argv),
        }
        series = interleave(arms, n)
    return Measure(ask, tuple(series))


def once_argv(subject: Subject) -> list[str]:
    """`docker run --rm` of one call of the handler, with the sandbox image's own interpreter."""
    spec = catalog.runtimes()[subject.function.runtime]
    module, _, attribute = subject.function.handler.rpartition(".")
    flag, code = ONCE[spec.language]
    return [
        *(containers.program(), "run", "--rm", *LABELS, "--network", "none", "-v", f"{subject.bundle}:/app:ro"),
        *("--entrypoint", spec.agent[0], subject.image, flag, code, module, attribute),
    ]


def _served(stack: Stack, name: str, target: Target, duration_s: float) -> float:
    """Invocations a second; returns with the pool full again, so that its refilling does not fall on the other side."""
    outcome = load.apply(Load(target, PARALLEL, duration_s))
    stack.reap(name)
    if outcome.failed:
        raise Mismatch(f"{outcome.failed} of {outcome.failed + outcome.requests} invocations failed")
    return outcome.rps


def _run_each(argv: list[str]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(PARALLEL) as crew:
        for ended in crew.map(_run_once, [argv] * RUNS):
            if ended.returncode:
                raise Mismatch(f"docker run ended with {ended.returncode}: {ended.stderr.strip()[-200:]}")
    return RUNS / (time.perf_counter() - began)


def _run_once(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_S)
