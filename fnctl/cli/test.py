"""`fnctl test`: the project's tests, by pytest with the fixtures of fnctl/testing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Annotated

import typer

from fnctl.cli.options import FileOption
from fnctl.errors import FnctlError

NO_TESTS = 5  # pytest's exit code
EXIT_CODES = {0: 0, 1: 1, 2: 130, 4: 2}  # by pytest's


def test(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[PYTEST ARGUMENTS]...", help="What pytest takes; after `--` options.")
    ] = None,
    file: FileOption = None,
) -> None:
    """Run the project's tests, with fixtures for its workflows and functions.

    `workflows` needs no Docker: functions are stand-ins. `functions` starts them in their sandboxes.

    \b
    Examples:
      fnctl test
      fnctl test tests/test_order.py -- -k refund
    """
    if importlib.util.find_spec("pytest") is None:
        raise FnctlError(
            "pytest is not installed beside fnctl", hint=f"install it there: {sys.executable} -m pip install pytest"
        )
    argv = [sys.executable, "-m", "pytest", "-p", "fnctl.testing.plugin", *(arguments or [])]
    if file is not None:
        argv += ["--fnctl-file", str(file)]
    code = subprocess.run(argv).returncode
    if code == NO_TESTS:
        raise FnctlError("pytest found no tests", hint="tests are functions `test_…` in files `test_….py`")
    raise typer.Exit(EXIT_CODES.get(code, 1))
