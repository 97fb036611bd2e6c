"""The to-do list's page under many clients at once: every one of them is served."""

from __future__ import annotations

import re
import subprocess

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("language", ["express", "flask"])
def test_a_thousand_requests_by_two_hundred_clients(demo_port: int, language: str) -> None:
    host = f"Host: todolist-{language}.localhost:{demo_port}"
    command = ["ab", "-q", "-n", "1000", "-c", "200", "-H", host, f"http://127.0.0.1:{demo_port}/"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    counts = dict(re.findall(r"^(Complete requests|Failed requests|Non-2xx responses): +(\d+)", said.stdout, re.M))
    assert counts == {"Complete requests": "1000", "Failed requests": "0"}, said.stdout
