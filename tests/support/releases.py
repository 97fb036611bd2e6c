"""Versions of a release, each built from a folder of its own, and a service of them in this process: no registry, no
packing of layers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fnctl import config
from fnctl.control import compose, prepare
from fnctl.control.compose import ServeSettings, Stack
from fnctl.control.installation import Candidate, Installation
from fnctl.control.versions import Version
from fnctl.engine.port import Engine
from fnctl.progress import Silent
from fnctl.release import document
from fnctl.release.document import Document


def candidate(place: Path, engine: Engine, files: Mapping[str, str], name: str) -> Candidate:
    """The version `name`, of these files, to be served from `place`."""
    source = place.with_name(f"source-{name}")
    place.mkdir(exist_ok=True)
    for file, text in files.items():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_text(text)
    project = config.load(source)
    prepared = prepare.to_serve(prepare.select(project, []), engine, Silent())
    shipped = [
        document.shipped(code.function, code.bundle.digest, 1, 1, dict(code.function.environment))
        for code in prepared.codes
    ]
    said = document.dump(Document(None, "test", tuple(shipped), (), ()), source)
    there = document.placed(document.load(said), place, {})
    codes = tuple(replace(code, function=each) for code, each in zip(prepared.codes, there, strict=True))
    served = Installation(place, engine).project
    prepared = replace(prepared, project=replace(served, functions=there), codes=codes)
    digests = {code.function.name: code.bundle.digest for code in codes}
    version = Version(0, time.time(), f"r.io/{name}@sha256:{name}", f"sha256:{name}", prepared.image, digests, said)
    return Candidate(version, prepared, kept=False)


@asynccontextmanager
async def serving(place: Path, engine: Engine, first: Candidate, *, virtual: bool = False) -> AsyncIterator[Stack]:
    """`virtual`: time moves by its clock's `advance` alone."""
    installation = Installation(place, engine)
    installation.serves(first)
    async with compose.running(first.prepared, ServeSettings(warm=1, virtual=virtual), None, installation) as stack:
        yield stack


async def get(stack: Stack, path: str, *headers: str) -> tuple[int, str, str]:
    """Status, body and head of an answer, over the project's own socket."""
    reader, writer = await asyncio.open_unix_connection(str(stack.run.paths.gateway_socket))
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body, head
