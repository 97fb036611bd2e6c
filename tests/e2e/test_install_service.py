"""The units of `fnctl install-service`: systemd finds no fault in them, and its own activation starts what they say."""

from __future__ import annotations

import contextlib
import http.client
import re
import shlex
import signal
import subprocess

import pytest

from tests.faults import rig
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROJECT = """
name: shop
functions:
  quick: {path: node, runtime: node24, handler: harmless.handler}
"""


def test_systemd_starts_the_service_when_somebody_connects() -> None:
    with rig.desk() as desk, contextlib.ExitStack() as services:
        (desk.project / "fnctl.yaml").write_text(PROJECT)
        port = free_port()
        shown = desk.fnctl("install-service", "--port", str(port), "--dry-run", "--", "--warm", "1")
        assert shown.returncode == 0, shown.stderr
        units = {}
        for part in re.split(r"^(?=# /)", shown.stdout, flags=re.MULTILINE)[1:]:
            path = desk.home.parent / part.partition("\n")[0].rpartition("/")[2]
            path.write_text(part)
            units[path.suffix] = path
        checked = subprocess.run(
            ["systemd-analyze", "verify", *map(str, units.values())], capture_output=True, text=True, timeout=60
        )
        about = [line for line in checked.stderr.splitlines() if "fnctl" in line]
        assert (checked.returncode, about) == (0, []), checked.stderr

        service = units[".service"].read_text()
        (start,) = re.findall(r"^ExecStart=(.*)$", service, re.MULTILINE)
        (listen,) = re.findall(r"^ListenStream=(.*)$", units[".socket"].read_text(), re.MULTILINE)
        set_here = re.findall(r"^Environment=(.*)$", service, re.MULTILINE)
        activate = ["systemd-socket-activate", f"--listen={listen}", "--fdname=fnctl-http"]
        inherited = [f"--setenv={each}" for each in (*set_here, "PATH", "PYTHONPATH", "DOCKER_HOST", "TMPDIR")]
        command = {**desk.command(), "args": [*activate, *inherited, *shlex.split(start)]}
        said = desk.home.parent / "said"
        with said.open("w") as out:
            process = services.enter_context(subprocess.Popen(**command, stdout=out, stderr=out))
        services.callback(process.kill)
        until(lambda: "Listening on" in said.read_text(), "systemd-socket-activate to listen")
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as client:
            client.request("GET", "/quick/")  # which waits until the service is up
            assert client.getresponse().status == 200, said.read_text()
        assert f"listening on the socket that systemd has opened, 127.0.0.1:{port}" in said.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, said.read_text()
