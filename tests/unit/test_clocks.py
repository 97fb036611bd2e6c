"""The wall clock may jump by an hour: nothing that waits, reaps or times out may read it."""

from __future__ import annotations

import ast
from pathlib import Path

FNCTL = Path(__file__).parents[2] / "fnctl"
# Who reads it, and what for. An entry more is a decision: can this clock jump without harm there?
ALLOWED = {
    "triggers/http/connection.py": "when a request came: receipt, id, Date, and the deadline that the function is told",
    "triggers/http/deferral.py": "the id and the Date of an answer",
    "triggers/http/own_answers.py": "the id and the Date of an answer",
    "triggers/http/call.py": "the deadline that the function is told, which its own clock goes by",
    "triggers/queue/hooks.py": "the time that a webhook is signed with, which its receiver holds against its own clock",
    "records/journal.py": "when a line was printed",
}


def readers(part: str) -> set[str]:
    found = set()
    for path in (FNCTL / part).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(value=ast.Name(id="time"), attr="time" | "time_ns" | "localtime" | "gmtime"):
                    found.add(path.relative_to(FNCTL).as_posix())
                case ast.Attribute(attr="now" | "utcnow" | "today", value=ast.Name(id="datetime" | "date")):
                    found.add(path.relative_to(FNCTL).as_posix())
                case ast.ImportFrom(module="time", names=names) if {name.name for name in names} & {"time", "time_ns"}:
                    found.add(path.relative_to(FNCTL).as_posix())
    return found


def test_only_what_is_told_to_people_reads_the_wall_clock() -> None:
    parts = ("engine", "sandbox", "pool", "dispatch", "triggers", "records", "services")
    assert {path for part in parts for path in readers(part)} == set(ALLOWED)
