"""The interpreter of the sandbox image, made to run on the host: so that a bare process runs the very same program.

The files are copied out of the image once and kept in the cache. The program is started through the image's own dynamic
loader, with the image's C library: no container, no chroot, no root needed, and nothing of the host's libraries.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fnctl.bench import containers
from fnctl.bench.containers import LABELS, docker
from fnctl.bench.measure import NotMeasured
from fnctl.model import RuntimeSpec

# Everything of the image but what only builds or documents: the interpreters, their libraries and the loader.
KEPT = ("usr/lib/", "usr/lib64/", "lib/", "lib64", "lib", "usr/bin/", "opt/fnctl/")
LEFT_OUT = ("opt/fnctl/build/",)
LOADERS = ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1")
CHECK_S = 20.0
# "tar" keeps links as they are (they point within the image); our own image, not a stranger's. Python 3.11.2, which is
# Debian 12's, has no filters yet and does the same without.
SAFE: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How to start it: `argv` before the program's own arguments, with this in the environment. `note`: what it is."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    inside: str  # its path in the image
    note: str


def of_image(image: str, runtime: RuntimeSpec, cache: Path) -> Interpreter:
    """NotMeasured where it does not run here, as on a machine other than the engine's."""
    root = _files(image, cache)
    inside = runtime.agent[0]
    loader = next((root / name for name in LOADERS if (root / name).exists()), None)
    if loader is None:
        raise NotMeasured(f"the sandbox image {image[:19]} has no dynamic loader that is known")
    libraries = ":".join(str(folder) for folder in sorted((root / "usr/lib").glob("*-linux-gnu")))
    found = Interpreter(
        argv=(str(loader), "--library-path", libraries, str(root / inside.lstrip("/"))),
        environment=(("PYTHONHOME", str(root / "usr")),) if runtime.language == "python" else (),
        inside=inside,
        note=f"{runtime.name} {runtime.version} of the sandbox image, run on the host through the image's own loader",
    )
    _check(found)
    return found


def _check(interpreter: Interpreter) -> None:
    environment = {**dict(interpreter.environment), "PATH": "/usr/bin:/bin"}
    try:
        done = subprocess.run(
            [*interpreter.argv, "--version"], env=environment, capture_output=True, text=True, timeout=CHECK_S
        )
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise NotMeasured(f"{interpreter.inside} of the image does not run on this host: {failed}") from failed
    if done.returncode:
        raise NotMeasured(f"{interpreter.inside} of the image does not run on this host: {done.stderr.strip()}")


def _files(image: str, cache: Path) -> Path:
    """The image's files on the host; copied once, put in place by one rename."""
    folder = cache / image.removeprefix("sha256:")[:16]
    if folder.is_dir():
        return folder
    fresh = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    container = docker("create", *LABELS, image, "/bin/true").strip()
    try:
        _export(container, fresh)
    finally:
        containers.remove(container)
    fresh.rename(folder)
    return folder


def _export(container: str, into: Path) -> None:
    with subprocess.Popen([containers.program(), "export", container], stdout=subprocess.PIPE) as export:
        assert export.stdout is not None
        with tarfile.open(fileobj=export.stdout, mode="r|") as archive:
            for member in archive:
                if member.name.startswith(KEPT) and not member.name.startswith(LEFT_OUT):
                    archive.extract(member, into, **SAFE)
    if export.returncode:
        raise NotMeasured(f"docker export ended with {export.returncode}")
