"""A container for the engine to make, and what the engine says of one."""

from __future__ import annotations

from dataclasses import dataclass, field

OWN_NAME = "sandbox"  # what each sandbox calls itself: its host name

INSIDE = "fnctl.internal"  # where a sandbox finds the functions of its project, on its own loopback
# The same, by the names that Function Compute's SDKs make of an account and a region: those of no real account.
ALIBABA_ACCOUNT, ALIBABA_REGION = "000000000000", "local"
INSIDE_ALIBABA = tuple(f"{ALIBABA_ACCOUNT}.{ALIBABA_REGION}{kind}.fc.aliyuncs.com" for kind in ("", "-internal"))


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything the engine needs to make one hardened sandbox."""

    name: str
    image: str
    command: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    uid: int
    mounts: tuple[tuple[str, str, bool], ...]  # (host path or volume name, path inside, read-only)
    memory_mb: int = 256
    cpus: float | None = None
    pids: int = 128
    nofile: int = 1024
    tmp_mb: int = 64
    # An engine network's name. None: a network namespace of its own with loopback alone, for good (no `connect`).
    network: str | None = "none"
    aliases: tuple[str, ...] = ()  # what others on that network call it
    environment: tuple[tuple[str, str], ...] = ()
    hostname: str = OWN_NAME
    read_only: bool = True
    log_driver: str = "none"
    auto_remove: bool = False  # the engine removes it when it ends, even if fnctl is gone by then


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """What the engine says of a container that carries our labels."""

    id: str
    name: str
    running: bool
    pid: int
    labels: dict[str, str] = field(default_factory=dict)
    oom_killed: bool = False
    exit_code: int | None = None
    addresses: dict[str, str] = field(default_factory=dict)  # IPv4, by network's name
