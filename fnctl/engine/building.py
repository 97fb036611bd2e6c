"""Building a Dockerfile with the builder that is there: buildx (docker's command), else the engine's classic one."""

from __future__ import annotations

import collections
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from docker.utils import tar

from fnctl.engine import answers
from fnctl.engine.connection import Refused, Unanswered, Wire, pieces
from fnctl.errors import BuildError, DeadlineExceeded

KEPT_LINES = 40  # of a failed build: what stands at the end says why
PROBE_S = 10.0
OnLine = Callable[[str], None]


class Builder:
    """One build at a time and object. BuildError keeps the last lines; nothing is tagged unless all went well."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._last: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)

    def build(
        self,
        context: Path,
        *,
        tag: str,
        labels: Mapping[str, str],
        network: str | None,
        on_line: OnLine,
        timeout_s: float,
    ) -> None:
        def told(line: str) -> None:
            self._last.append(line)
            on_line(line)

        if has_buildx():
            command = buildx_command(context, tag, labels, network, self._wire.endpoint.context)
            self._by_command(command, tag, told, timeout_s)
        else:
            self._by_engine(context, tag, labels, network, told, timeout_s)

    def _by_engine(
        self,
        context: Path,
        tag: str,
        labels: Mapping[str, str],
        network: str | None,
        on_line: OnLine,
        timeout_s: float,
    ) -> None:
        """Leaving the stream early ends the build: the engine removes the step's container when nobody listens."""
        deadline = time.monotonic() + timeout_s
        params = {"t": tag, "labels": json.dumps(dict(labels)), "rm": "1", "forcerm": "1", "version": "1"}
        if network is not None:
            params["networkmode"] = network
        try:
            with (
                context_archive(context) as archive,
                self._wire.stream(
                    "POST", "/build", params=params, data=archive, timeout_s=timeout_s, content_type="application/x-tar"
                ) as response,
            ):
                for message in answers.json_lines(pieces(response)):
                    self._message(message, tag, on_line)
                    if time.monotonic() > deadline:
                        raise self._too_long(tag, timeout_s)
        except Refused as refused:
            raise BuildError(f"the engine refused to build {tag}: {refused.message}") from refused
        except Unanswered as silent:
            if time.monotonic() > deadline:
                raise self._too_long(tag, timeout_s) from silent
            raise

    def _message(self, message: Mapping[str, object], tag: str, on_line: OnLine) -> None:
        for line in str(message.get("stream", "")).splitlines():
            on_line(line)
        if "error" in message:
            raise self._failed(tag, str(message["error"]))

    def _by_command(self, command: Sequence[str], tag: str, on_line: OnLine, timeout_s: float) -> None:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            late = threading.Event()
            alarm = threading.Timer(timeout_s, _end, (process, late))
            alarm.start()
            try:
                for line in answers.lines(process.stdout or ()):
                    on_line(line.decode(errors="replace"))
            finally:
                alarm.cancel()
                if process.poll() is None and not late.is_set():
                    process.terminate()
            code = process.wait()
        if late.is_set():
            raise self._too_long(tag, timeout_s)
        if code != 0:
            raise self._failed(tag, f"docker buildx build ended with exit code {code}")

    def _failed(self, tag: str, reason: str) -> BuildError:
        return BuildError(f"building {tag} failed: {reason}", detail="\n".join(self._last))

    def _too_long(self, tag: str, timeout_s: float) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"building {tag} took longer than {timeout_s:g} s", code="build_timeout", detail="\n".join(self._last)
        )


def _end(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    os.killpg(process.pid, signal.SIGKILL)


def has_buildx() -> bool:
    """Does the docker command have it? Asked by running it: plug-ins lie in several places."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        probe = subprocess.run([docker, "buildx", "version"], capture_output=True, timeout=PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def buildx_command(
    context: Path, tag: str, labels: Mapping[str, str], network: str | None, docker_context: str
) -> list[str]:
    """The argv. The builder is the engine's own, named as its context: any other sees none of the local images."""
    command = ["docker", "buildx", "build", "--builder", docker_context, "--load", "--progress", "plain", "--tag", tag]
    for key, value in labels.items():
        command += ["--label", f"{key}={value}"]
    if network is not None:
        command += ["--network", network]
    return [*command, str(context)]


def context_archive(context: Path) -> IO[bytes]:
    """The folder as a tar, without what its `.dockerignore` names. The caller closes it."""
    ignore = context / ".dockerignore"
    patterns = ignore.read_text().splitlines() if ignore.is_file() else []
    rules = [line.strip() for line in patterns if line.strip() and not line.startswith("#")]
    return cast(IO[bytes], tar(context, exclude=rules))
