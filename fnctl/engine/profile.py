"""The hardened sandbox, as pure functions: a SandboxSpec → the body of Docker's create call. Not the call."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fnctl.engine.seccomp import seccomp_profile
from fnctl.model import SandboxSpec

MIB = 1024 * 1024

# glibc and Python's multiprocessing keep semaphores there, browsers and databases more; it counts as memory anyway.
SHM_MB = 16
# An inode in tmpfs costs about 1 KiB of kernel memory: 16 k of them are what the smallest sandbox can carry.
TMP_INODES = 16384
SHM_INODES = 1024
# Where the whole machine runs out of memory, a sandbox goes before what is not ours.
OOM_SCORE = 500


@dataclass(frozen=True, slots=True)
class Traits:
    """What the create call has to know of engine and image."""

    cgroup_version: str = "2"
    image_volumes: tuple[str, ...] = ()  # paths that the image declares as VOLUME


def create_body(spec: SandboxSpec, traits: Traits) -> dict[str, Any]:
    """The body of `POST /containers/create`. What an image says of user, folder, entry point, health is overridden."""
    return {
        "Image": spec.image,
        **_command(spec.command),
        "User": f"{spec.uid}:{spec.uid}",
        "WorkingDir": "/",
        "Env": [f"{key}={value}" for key, value in spec.environment],
        "Labels": dict(spec.labels),
        "Hostname": spec.hostname,
        "Healthcheck": {"Test": ["NONE"]},
        # The runtime makes a namespace and brings its loopback up, as ever. What is left out is the engine's own part
        # in it, which costs two starts of a process of the engine's (half of what a sandbox takes in all), and without
        # which it can be put on no network later.
        "NetworkDisabled": spec.network is None,
        **_endpoint(spec),
        "OpenStdin": False,
        "Tty": False,
        "HostConfig": host_config(spec, traits),
    }


def _endpoint(spec: SandboxSpec) -> dict[str, Any]:
    if spec.network is None or not spec.aliases:
        return {}
    return {"NetworkingConfig": {"EndpointsConfig": {spec.network: {"Aliases": list(spec.aliases)}}}}


def _command(command: tuple[str, ...]) -> dict[str, Any]:
    """As entry point, so that an image's own ENTRYPOINT and CMD are out; nothing given: the image's own."""
    return {"Entrypoint": [command[0]], "Cmd": list(command[1:])} if command else {}


def host_config(spec: SandboxSpec, traits: Traits) -> dict[str, Any]:
    """No capabilities, nothing writable but bounded tmpfs and what `mounts` names, no way to more privileges.

    AppArmor's docker-default is the engine's own doing where the host has it, and so are the masked paths of /proc.
    """
    return {
        "ReadonlyRootfs": spec.read_only,
        "Tmpfs": tmpfs(spec, traits.image_volumes),
        "Mounts": [mount(*entry) for entry in spec.mounts],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={json.dumps(seccomp_profile(), separators=(',', ':'))}"],
        # A namespace of its own, without the engine's /dev/shm, which has no bound on inodes.
        "IpcMode": "none",
        "CgroupnsMode": "private",
        "NetworkMode": spec.network or "none",
        "PidsLimit": spec.pids,
        "Ulimits": [
            {"Name": "nofile", "Soft": spec.nofile, "Hard": spec.nofile},
            {"Name": "core", "Soft": 0, "Hard": 0},
            # /dev/mqueue stays mounted whatever the IPC mode, and a file made there is a queue that stays
            {"Name": "msgqueue", "Soft": 0, "Hard": 0},
        ],
        "OomScoreAdj": OOM_SCORE,
        "Init": False,  # the supervisor is PID 1 and reaps
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": spec.auto_remove,
        "LogConfig": {"Type": spec.log_driver, "Config": log_options(spec.log_driver)},
        **memory(spec.memory_mb),
        **({"MemorySwappiness": 0} if traits.cgroup_version == "1" else {}),
        **cpu(spec.cpus),
    }


def memory(memory_mb: int) -> dict[str, int]:
    """Memory and swap have one bound: a sandbox that may swap is slow for everybody before it is out of memory."""
    return {"Memory": memory_mb * MIB, "MemorySwap": memory_mb * MIB}


def cpu(cpus: float | None) -> dict[str, int]:
    return {} if cpus is None else {"NanoCpus": round(cpus * 1_000_000_000)}


def tmpfs(spec: SandboxSpec, image_volumes: Iterable[str] = ()) -> dict[str, str]:
    """Every writable place that is not a mount of ours, each with a bound on bytes and on inodes.

    Running what lies in /tmp is allowed: package tools and native modules unpack there. An image's VOLUME would become
    a writable folder of the host's disk without any bound; it is a tmpfs too.
    """
    taken = {inside for _, inside, _ in spec.mounts}
    places = {
        "/tmp": _tmpfs_options(spec.tmp_mb, TMP_INODES, "exec"),
        "/dev/shm": _tmpfs_options(SHM_MB, SHM_INODES, "noexec"),
    }
    places |= {path: _tmpfs_options(spec.tmp_mb, TMP_INODES, "exec") for path in image_volumes}
    return {path: options for path, options in places.items() if path not in taken}


def _tmpfs_options(size_mb: int, inodes: int, execution: str) -> str:
    return f"rw,nosuid,nodev,{execution},size={size_mb}m,nr_inodes={inodes},mode=1777"


def mount(source: str, inside: str, read_only: bool) -> dict[str, Any]:
    """A folder or file of the host, which must exist, or (no leading slash) a named volume."""
    entry: dict[str, Any] = {"Source": source, "Target": inside, "ReadOnly": read_only}
    if source.startswith("/"):
        # private both ways: what the host mounts later stays out, what is mounted inside stays in
        return entry | {"Type": "bind", "BindOptions": {"Propagation": "rprivate"}}
    return entry | {"Type": "volume", "VolumeOptions": {"NoCopy": True}}


def log_options(driver: str) -> Mapping[str, str]:
    """A bound on what a container's output takes on the host's disk."""
    return {"max-size": "5m", "max-file": "2"} if driver in ("local", "json-file") else {}
