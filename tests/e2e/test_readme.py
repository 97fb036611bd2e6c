"""The README's first function, run as it stands: its tested shell blocks, one after the other, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import homes
from tests.support.ports import free_port

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
TESTED = re.compile(r"<!-- tested: .*?-->\n(.*?)<!-- tested: end -->", re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
README_PORT = "8080"
# A reader waits a second for the new code; a machine that is busy with other tests may need more.
WAIT = "sleep 1\n"
PATIENT = "for _ in $(seq 60); do curl -s http://hello.localhost:8080/ | grep -q Good && break; sleep 0.5; done\n"


def blocks() -> list[str]:
    parts = TESTED.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [block for part in parts for block in BLOCK.findall(part)]


def test_nothing_is_left_out() -> None:
    """What is not run is what prepares this machine: the two commands of a clone, and `make setup`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    others = [block for block in BLOCK.findall(text) if block not in blocks()]
    assert [re.findall(r"^(make \w+|export \w+)", block, re.MULTILINE) for block in others] == [
        ["make demo", "make test"],
        ["make setup", "export PATH"],
    ]


def environment(folder: Path, port: str) -> dict[str, str]:
    """A home, a port and a `fnctl` command of its own; the port is the only thing that differs for a reader."""
    command = folder / "bin" / "fnctl"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m fnctl.cli.main "$@"\n')
    command.chmod(0o755)
    return {
        **os.environ,
        "FNCTL_HOME": str(homes.made(folder / "h")),
        "FNCTL_PORT": port,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
    }


def test_in_order(tmp_path: Path) -> None:
    port = str(free_port())
    own = environment(tmp_path, port)
    shown = "\n".join(blocks()).replace(WAIT, PATIENT)
    script = "set -euo pipefail\n" + shown.replace(f":{README_PORT}/", f":{port}/")
    try:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=own, capture_output=True, text=True, timeout=500
        )
    finally:
        hello = tmp_path / "hello"
        if hello.is_dir():
            subprocess.run(["fnctl", "stop"], cwd=hello, env=own, capture_output=True, timeout=120)
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    in_order = [
        "Hello, Ada!",
        "Good morning, Ada!",
        "GET /?name=Ada",
        "Good morning, Grace!",
        "serving at",
        "start-cold",
    ]
    places = [done.stdout.find(words) for words in in_order]
    assert -1 not in places, said
    assert places == sorted(places), said
    assert "start;desc=runtime" in done.stdout, said
    page = said.rpartition("wrote report to ")[2].split("\n")[0].strip()
    assert Path(page).is_file()
    assert not (tmp_path / "hello" / "bench.html").exists()  # it would be part of the function
