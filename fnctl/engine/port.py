"""The port to a container engine: only what fnctl asks of it, with its guarantees. Not an implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from fnctl.model import SandboxInfo, SandboxSpec

LABEL = "dev.fnctl"  # on everything fnctl creates; value "1"
LABEL_HOME = "dev.fnctl.home"  # paths.home_id(): which fnctl home made it; two homes never touch each other's
LABEL_PROJECT = "dev.fnctl.project"  # Project.id
LABEL_FOLDER = "dev.fnctl.folder"  # the project's, for people
LABEL_USER = "dev.fnctl.user"  # who started it, for people
LABEL_ROLE = "dev.fnctl.role"  # sandbox | service | build | layer | function
LABEL_RUN = "dev.fnctl.run"  # id of the `fnctl run` that owns a sandbox
LABEL_FUNCTION = "dev.fnctl.function"
LABEL_DIGEST = "dev.fnctl.digest"  # own content digest: image ids differ between stores
LABEL_ORIGIN = "dev.fnctl.origin"  # base image: local | pulled:REF | bootstrap:SUITE


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the engine says of itself, for doctor, bench and decisions."""

    version: str
    api_version: str
    os: str
    cpus: int
    memory_mb: int
    storage_driver: str
    cgroup_version: str
    runc_version: str
    security: tuple[str, ...]
    root_dir: str
    local: bool  # reached over a unix socket of this machine


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image the engine has. `id` is the engine's own; compare contents by the digest label."""

    id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int
    layers: tuple[str, ...]  # diff ids, bottom first


@dataclass(frozen=True, slots=True)
class RunResult:
    """A one-shot container's end. `timed_out`: the deadline killed it; `output`: stdout and stderr, last 1 MiB of both
    together, by lines; `stdout` and `stderr`: the same of each, byte for byte."""

    exit_code: int
    output: str
    timed_out: bool = False
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a container of ours, by whoever's hand. `action`: die, oom or destroy."""

    action: str
    sandbox: str  # the engine's id
    labels: Mapping[str, str]
    exit_code: int | None = None  # of die


@dataclass(frozen=True, slots=True)
class Guard:
    """What sandboxes on a network must not reach, of what it could lead to."""

    host: bool = True  # the machine's own addresses, whatever they are at the time
    link_local: bool = True  # 169.254.0.0/16 and fe80::/10, where clouds give out credentials


class Closer(Protocol):
    """Ends what was opened."""

    def close(self) -> None:
        """No callback runs after this returns. Call it from another thread than the callbacks'. Twice is once."""
        ...


class VolumeEngine(Protocol):
    """What an engine does with volumes. The rules of `Engine` hold."""

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None: ...

    def remove_volume(self, name: str) -> None: ...

    def volumes(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        """The labels of every volume that carries all of these, by its name."""
        ...

    def read_volume(self, volume: str, image: str, labels: Mapping[str, str], out: IO[bytes]) -> None:
        """All that is in it, with owners, modes and times, as a tar. By way of a container of this image, with these
        labels, that never runs and is gone afterwards. What writes to the volume meanwhile may be in it in part."""
        ...

    def write_volume(self, volume: str, image: str, labels: Mapping[str, str], archive: IO[bytes]) -> None:
        """Into it, what such a tar holds. On failure a part of it may be there."""
        ...


class Engine(VolumeEngine, Protocol):
    """Blocking calls, each bounded by a timeout; safe to call from several threads.

    Every method raises `EngineUnavailable` where the engine cannot be reached and `EngineError` where it refuses or
    does not answer in time. Nothing is retried in here.
    """

    def facts(self) -> EngineFacts: ...

    def create(self, spec: SandboxSpec) -> str:
        """Make and start a hardened sandbox; its id. On failure nothing is left: a half-made one is removed by name."""
        ...

    def destroy(self, sandbox: str) -> None:
        """SIGKILL and remove, with anonymous volumes. Gone already is success."""
        ...

    def pause(self, sandbox: str) -> None:
        """Stop all of its processes where they are: none does anything until `unpause`."""
        ...

    def unpause(self, sandbox: str) -> None:
        """They go on. One that is not paused, or gone, is success."""
        ...

    def inspect(self, sandbox: str) -> SandboxInfo | None:
        """None where there is none."""
        ...

    def list(self, labels: Mapping[str, str]) -> list[SandboxInfo]:
        """Every container, running or not, that carries all these labels."""
        ...

    def ids(self, labels: Mapping[str, str]) -> frozenset[str]:
        """The ids alone of every container that carries all these labels: cheap, whatever their number."""
        ...

    def update(self, sandbox: str, *, memory_mb: int | None = None, cpus: float | None = None) -> None:
        """Change limits of a running sandbox (memory is memory+swap)."""
        ...

    def logs(self, sandbox: str, on_line: Callable[[str], None]) -> Closer:
        """Tell of every line of its output from the beginning on, from a thread of its own, until the sandbox ends or
        it is closed. Not for one whose log driver keeps nothing.

        Closing waits a moment for the lines that an ended sandbox has left. Where the engine's line is cut, it goes on
        with what comes then: lines between are lost. `on_line` must not raise and not block for long.
        """
        ...

    def connect(self, sandbox: str, network: str, aliases: tuple[str, ...] = ()) -> None:
        """Take the sandbox off `none` and attach it to the network, beside those that it is on. Not one that was made
        without any (None)."""
        ...

    def ensure_network(
        self, name: str, *, internal: bool, labels: Mapping[str, str], guard: Guard | None = None
    ) -> None:
        """A network of this name, made where there is none. With a `guard`, EngineError of code `egress_open` where it
        cannot be enforced; a network that was made for it is removed then."""
        ...

    def remove_network(self, name: str) -> None:
        """With everything that guarded it. Gone already is success."""
        ...

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        """The labels of every network that carries all of these, by its name."""
        ...

    def images(self, labels: Mapping[str, str]) -> Sequence[ImageInfo]: ...

    def image(self, reference: str) -> ImageInfo | None: ...

    def load(self, archive: IO[bytes]) -> None:
        """`docker load` of an archive (docker-archive layout); layers that the engine has may be left out."""
        ...

    def save(self, reference: str, out: IO[bytes]) -> None:
        """`docker save`: the image with all of its layers, in docker-archive layout. ImageNotFound."""
        ...

    def import_rootfs(self, archive: IO[bytes], reference: str, changes: Iterable[str]) -> None:
        """`docker import` of a root file system tar."""
        ...

    def pull(self, reference: str) -> None: ...

    def tag(self, reference: str, new: str) -> None: ...

    def remove_image(self, reference: str) -> None: ...

    def build(
        self,
        context: Path,
        *,
        tag: str,
        labels: Mapping[str, str],
        network: str | None = None,
        on_line: Callable[[str], None] = lambda line: None,
        timeout_s: float = 1800,
    ) -> None:
        """Build the Dockerfile in `context` with the builder the engine has. BuildError carries its own last lines."""
        ...

    def run(
        self,
        spec: SandboxSpec,
        *,
        timeout_s: float,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> RunResult:
        """Run to the end and remove, also on timeout and on KeyboardInterrupt."""
        ...

    def stats(self, sandbox: str) -> Mapping[str, float]:
        """`memory_mb`, `peak_memory_mb`, `cpu_ms`: what the engine's stats call says; slow (10 ms and more)."""
        ...

    def events(self, on_event: Callable[[Event], None], on_gap: Callable[[], None]) -> Closer:
        """Tell of every container that carries LABEL, from a thread of its own, until closed.

        `on_gap`: events may have been missed, list anew. It is called first when the stream is open, each time it is
        open again after a cut, and in long silences. Callbacks must not raise and not block for long.
        """
        ...

    def close(self) -> None: ...
