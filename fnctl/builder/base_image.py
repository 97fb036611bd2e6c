"""The base image: Debian trixie, from where it can be had. What stands on it is in layers.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from fnctl import paths
from fnctl.engine.port import LABEL, LABEL_ORIGIN, LABEL_ROLE, Engine
from fnctl.errors import BuildError, EngineError, EngineUnavailable
from fnctl.progress import Progress

BASE = "fnctl/base:trixie"
OFFICIAL = "debian:trixie-slim"
SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"  # signed by the archive's keys, whatever carries it
BOOTSTRAP_TIMEOUT_S = 1200.0
STEP = "Building base image"
NO_BOOTSTRAP = "no_bootstrap"  # code of the error that mmdebstrap is missing


def base_image(engine: Engine, progress: Progress) -> str:
    """The base image's reference, made where it is missing: pulled, or bootstrapped from the Debian archive.

    An image that somebody has tagged so stays as it is. What it came from stands in its label `dev.fnctl.origin`; a
    bootstrap never takes the official image's name. BuildError tells what was tried.
    """
    if engine.image(BASE) is not None:
        return BASE
    progress.start(STEP)
    try:
        origin = _make(engine, lambda line: progress.line(STEP, line))
    except BaseException:
        progress.failed(STEP)
        raise
    progress.done(STEP, origin)
    return BASE


def _make(engine: Engine, on_line: Callable[[str], None]) -> str:
    try:
        engine.pull(OFFICIAL)
    except EngineUnavailable:
        raise
    except EngineError as refusal:
        on_line(f"{OFFICIAL} cannot be pulled ({refusal}); bootstrapping {SUITE} from the Debian archive")
        bootstrap(engine, on_line)
        return f"bootstrap:{SUITE}"
    with tempfile.TemporaryDirectory(prefix="fnctl-base-") as context:
        Path(context, "Dockerfile").write_text(f"FROM {OFFICIAL}\n")
        engine.build(Path(context), tag=BASE, labels=labels(f"pulled:{OFFICIAL}"), on_line=on_line)
    return f"pulled:{OFFICIAL}"


def labels(origin: str) -> Mapping[str, str]:
    return {LABEL: "1", LABEL_ROLE: "layer", LABEL_ORIGIN: origin}


def bootstrap(engine: Engine, on_line: Callable[[str], None]) -> None:
    """Make the base with mmdebstrap: signed packages, the same bytes for the same archive state, root or not."""
    if shutil.which("mmdebstrap") is None:
        raise BuildError(
            f"no base image: {OFFICIAL} cannot be pulled, and mmdebstrap is not installed",
            hint="install it (Debian, Ubuntu: apt-get install mmdebstrap debian-archive-keyring), "
            f"or tag your own image of Debian {SUITE}: docker tag IMAGE {BASE}",
            code=NO_BOOTSTRAP,
        )
    cache = paths.cache()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="base-") as folder:
        archive = Path(folder, "base.tar")
        _run(bootstrap_argv(archive, os.environ.get("FNCTL_DEBIAN_MIRROR", MIRROR)), on_line)
        changes = [f"LABEL {key}={value}" for key, value in labels(f"bootstrap:{SUITE}").items()]
        with archive.open("rb") as stream:
            engine.import_rootfs(stream, BASE, changes)


def bootstrap_argv(archive: Path, mirror: str) -> list[str]:
    """As slim as Debian's own slim images: apt works, manual pages and translations are left out."""
    left_out = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/doc/*")
    argv = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", '--aptopt=Acquire::Languages "none"']
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in left_out]
    argv += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    # mmdebstrap leaves this machine's name and name servers behind; the engine gives each container its own.
    argv += ['--customize-hook=rm -f "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/cache/debconf/*-old']
    return [*argv, SUITE, str(archive), mirror]


def _run(argv: list[str], on_line: Callable[[str], None]) -> None:
    """Run to the end with a deadline, line by line. BuildError carries the last lines."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8"}
    # The deadline is the child's own (timeout(1) kills the whole group), since reading its lines blocks.
    command = ["timeout", "--kill-after=10", str(int(BOOTSTRAP_TIMEOUT_S)), *argv]
    tail: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            on_line(line.rstrip())
            tail = [*tail[-39:], line]
    if process.returncode != 0:
        raise BuildError(
            f"{argv[0]} could not build the base image: exit code {process.returncode}",
            detail="".join(tail),
            hint="check that the Debian archive is reachable, or set FNCTL_DEBIAN_MIRROR to another mirror",
        )
