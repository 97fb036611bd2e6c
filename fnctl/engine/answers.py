"""What Docker answers, as values of ours. Pure: JSON and bytes in, values out."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fnctl.engine.port import EngineFacts, Event, ImageInfo
from fnctl.errors import ImageNotFound
from fnctl.model import SandboxInfo

MIB = 1024 * 1024
ACTIONS = ("die", "oom", "destroy")  # what is told of a container
LINE_BYTES = 64 * 1024  # a longer line of output is cut into several


def sandbox_info(answer: Mapping[str, Any]) -> SandboxInfo:
    """Of `GET /containers/ID/json`."""
    state = answer["State"]
    running = bool(state["Running"])
    return SandboxInfo(
        id=answer["Id"],
        name=answer["Name"].lstrip("/"),
        running=running,
        pid=state.get("Pid") or 0,
        labels=answer["Config"].get("Labels") or {},
        oom_killed=bool(state.get("OOMKilled")),
        exit_code=None if running or state.get("Status") == "created" else state.get("ExitCode"),
        addresses={
            name: endpoint["IPAddress"]
            for name, endpoint in ((answer.get("NetworkSettings") or {}).get("Networks") or {}).items()
            if (endpoint or {}).get("IPAddress")
        },
    )


def event(message: Mapping[str, Any]) -> Event | None:
    """Of a line of `GET /events`; None for what is not told of."""
    action, actor = message.get("Action"), message.get("Actor") or {}
    if action not in ACTIONS or not actor.get("ID"):
        return None
    attributes = dict(actor.get("Attributes") or {})
    code = attributes.get("exitCode")
    return Event(action, actor["ID"], attributes, int(code) if code is not None else None)


def image_info(answer: Mapping[str, Any]) -> ImageInfo:
    """Of `GET /images/REF/json`."""
    return ImageInfo(
        id=answer["Id"],
        tags=tuple(answer.get("RepoTags") or ()),
        labels=(answer.get("Config") or {}).get("Labels") or {},
        size_bytes=answer.get("Size") or 0,
        layers=tuple((answer.get("RootFS") or {}).get("Layers") or ()),
    )


def no_image(reference: str) -> ImageNotFound:
    """What to say where the engine has no such image."""
    return ImageNotFound(
        f"Docker has no image {reference}", hint="build or pull it first; `docker images` lists the images"
    )


def facts(info: Mapping[str, Any], version: Mapping[str, Any], api_version: str, *, local: bool) -> EngineFacts:
    """Of `GET /info` and `GET /version`."""
    components = {part.get("Name"): part.get("Version", "") for part in version.get("Components") or ()}
    return EngineFacts(
        version=version.get("Version", ""),
        api_version=api_version,
        os=info.get("OperatingSystem", ""),
        cpus=info.get("NCPU", 0),
        memory_mb=info.get("MemTotal", 0) // MIB,
        storage_driver=info.get("Driver", ""),
        cgroup_version=info.get("CgroupVersion") or "1",
        runc_version=components.get("runc", ""),
        security=tuple(info.get("SecurityOptions") or ()),
        root_dir=info.get("DockerRootDir", ""),
        local=local,
    )


def figures(answer: Mapping[str, Any]) -> dict[str, float]:
    """Of `GET /containers/ID/stats`. What the engine does not say is not in it: cgroup v2 has no peak here."""
    memory = answer.get("memory_stats") or {}
    cpu = (answer.get("cpu_stats") or {}).get("cpu_usage") or {}
    found = {
        "memory_mb": (memory.get("usage"), MIB),
        "peak_memory_mb": (memory.get("max_usage"), MIB),
        "cpu_ms": (cpu.get("total_usage"), 1_000_000),
    }
    return {name: value / unit for name, (value, unit) in found.items() if value is not None}


def split_reference(reference: str) -> tuple[str, str]:
    """`repository[:tag]` → both, tag `latest` by default. A colon before a slash belongs to a registry's port."""
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, "latest")


def json_lines(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The messages of a build, load, pull or event stream: JSON values one after the other, cut anywhere."""
    for line in lines(chunks, limit=None):
        if line.strip():
            message = json.loads(line)
            if isinstance(message, dict):
                yield message


def lines(chunks: Iterable[bytes], limit: int | None = LINE_BYTES) -> Iterator[bytes]:
    """Lines without their ends; what comes after the last one, too. One past `limit` comes in pieces."""
    held = b""
    for chunk in chunks:
        held += chunk
        *whole, held = held.split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
        while limit is not None and len(held) > limit:
            yield held[:limit]
            held = held[limit:]
    if held:
        yield held.removesuffix(b"\r")


def payloads(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """An attach stream's output, cut anywhere: which stream (1 stdout, 2 stderr) and its bytes.

    On the wire it is frames of (stream, 3 zero bytes, length) and the bytes.
    """
    held, left, stream = b"", 0, 0
    for chunk in chunks:
        held += chunk
        while held:
            if not left:
                if len(held) < 8:
                    break
                stream, left = struct.unpack(">B3xL", held[:8])
                held = held[8:]
            part, held = held[:left], held[left:]
            left -= len(part)
            if part:
                yield stream, part


def output_lines(output: Iterable[tuple[int, bytes]], limit: int = LINE_BYTES) -> Iterator[bytes]:
    """The lines of both streams as they become whole: a piece of one never ends up in a line of the other."""
    held = {1: b"", 2: b""}
    for stream, part in output:
        *whole, rest = (held.get(stream, b"") + part).split(b"\n")
        while len(rest) > limit:
            whole.append(rest[:limit])
            rest = rest[limit:]
        held[stream] = rest
        yield from (line.removesuffix(b"\r") for line in whole)
    yield from (rest.removesuffix(b"\r") for rest in held.values() if rest)
