"""From the saving of an edit to the first answer of the new code, with `fnctl run --watch`."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import count
from pathlib import Path

from fnctl.bench import calls
from fnctl.bench.calls import Target
from fnctl.bench.interleave import Mismatch, interleave
from fnctl.bench.measure import Measure, NotMeasured, Question
from fnctl.bench.stack import Serving, running
from fnctl.model import Project

NEW_CODE_S = 20.0
HELP_S = 20.0

QUESTION = Question(
    "edit",
    "an edit is saved → the next request is answered by the new code",
    "`fnctl run --watch`; requests one after another from the moment the file is saved; a sample ends with the first"
    " answer that is the new code's",
    "ms",
)

# Answers with the number of its own edit.
SOURCE = "exports.handler = async () => ({{ statusCode: 200, body: 'edit {serial}' }});\n"


def answered(ask: Question, project: Project, name: str, file: Path, n: int) -> Measure:
    """`file` is the handler of the function `name`, ours to overwrite. NotMeasured where `run` has no --watch."""
    if not can_watch():
        raise NotMeasured("this fnctl has no `fnctl run --watch`")
    serials = count(1)
    with running(project, Serving((name,), watch=True)) as stack:
        target = stack.target(name)
        stack.warm_up(target)
        series = interleave({"edit to new answer": lambda: _edited(file, target, next(serials))}, n)
    return Measure(ask, tuple(series))


def can_watch() -> bool:
    argv = [sys.executable, "-m", "fnctl.cli.main", "run", "--help"]
    return "--watch" in subprocess.run(argv, capture_output=True, text=True, timeout=HELP_S).stdout


def _edited(file: Path, target: Target, serial: int) -> float:
    expected = f"edit {serial}".encode()
    began = time.perf_counter()
    file.write_text(SOURCE.format(serial=serial))
    while time.perf_counter() - began < NEW_CODE_S:
        if expected in calls.call(target).body:
            return (time.perf_counter() - began) * 1000
    raise Mismatch(f"the new code did not answer within {NEW_CODE_S:.0f} s")
