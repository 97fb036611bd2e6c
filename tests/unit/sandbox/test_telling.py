"""Which lines of a crashed command are shown: those that say why, wherever they stand."""

from __future__ import annotations

import pytest

from fnctl.sandbox.telling import telling

NODE = """\
node:internal/modules/cjs/loader:1215
  throw err;
  ^

Error: Cannot find module 'left-pad'
Require stack:
- /fn/app/server.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1212:15)
    at Module._load (node:internal/modules/cjs/loader:1043:27)
    at Module.require (node:internal/modules/cjs/loader:1298:19)
    at require (node:internal/modules/helpers:182:18) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/fn/app/server.js' ]
}

Node.js v24.21.0"""
GUNICORN = """\
[INFO] Starting gunicorn 23.0.0
[INFO] Listening at: http://127.0.0.1:3000 (1)
[ERROR] Exception in worker process
Traceback (most recent call last):
  File "/x/arbiter.py", line 608, in spawn_worker
    worker.init_process()
  File "/fn/app/app.py", line 1, in <module>
    import flask
ModuleNotFoundError: No module named 'flask'
[INFO] Worker exiting (pid: 7)
[INFO] Shutting down: Master
[INFO] Reason: Worker failed to boot.
bye
one
two
three"""
EGG = (
    "[master] start with options: {}\n[master] start with env: NODE_ENV: undefined\n"
    "ERROR nodejs.ENOENTError: ENOENT: no such file or directory, mkdir '/fn/app/logs'\n"
    + "    at mkdirSync (node:fs:1410:26)\n" * 5
    + "AgentWorkerDiedError: [master] agent_worker#1:19 died\n" * 5
    + "[master] exit with code:1"
)
GO = (
    "panic: assignment to entry in nil map\n\ngoroutine 1 [running]:\n"
    + "main.f()\n\t/app/main.go:7 +0x1d\n" * 9
    + "exit"
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (NODE, "Error: Cannot find module 'left-pad'"),
        (GUNICORN, "ModuleNotFoundError: No module named 'flask'"),
        (EGG, "ERROR nodejs.ENOENTError: ENOENT: no such file or directory, mkdir '/fn/app/logs'"),
        (GO, "panic: assignment to entry in nil map"),
    ],
)
def test_the_line_that_says_why_is_shown(text: str, why: str) -> None:
    shown = telling(text.splitlines())
    assert why in shown
    assert shown[-1] == text.splitlines()[-1]
    assert len(shown) <= 11


def test_a_few_lines_are_shown_as_they_are() -> None:
    assert telling(["one", "two"]) == ["one", "two"]
    assert telling([str(each) for each in range(9)]) == ["…", "6", "7", "8"]
