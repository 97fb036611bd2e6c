"""A container that serves a folder as a shipped image would: the agent under plain `docker run`, without a host."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from fnctl import catalog
from fnctl.builder.archive import SINGLE
from tests.support.command import docker
from tests.support.container import Container

CONFINED = ("--read-only", "--tmpfs", "/tmp", "--user", "65532:65532", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges")  # fmt: skip


@contextlib.contextmanager
def standing(
    image: str, folder: Path, runtime: str, handler: str, *, options: Sequence[str] = (), **fields: object
) -> Iterator[Container]:
    """`fields`: of its load. `options`: of `docker run`."""
    load = {"function": "f", "version": "v", "handler": handler, "root": "/fn/app", "model": "resident",
            "env": {"GREETING": "hi"}, "concurrency": 8, "timeout_ms": 1000, "memory_mb": 64, "port": 3000,
            **fields}  # fmt: skip
    serve = (*catalog.runtimes()[runtime].agent, "--serve")
    name = f"fnctl-test-{uuid.uuid4().hex[:12]}"
    folder.chmod(0o755)
    docker(
        "run", "-d", "--name", name, "-p", "127.0.0.1::9000", "-e", "PORT=9000", "-e", f"FNCTL_LOAD={json.dumps(load)}",
        "--label", "dev.fnctl=1", "-v", f"{folder}:/fn/app:ro", *options, image,
        *(SINGLE if load["model"] == "ephemeral" else ()), *serve,
    )  # fmt: skip
    try:
        yield Container(name)
    finally:
        docker("rm", "-f", name)
