"""An Engine in memory, for tests and for trying things without Docker. It runs no code: sandboxes live until ended.

What a test can programme: how long each call takes (on a clock of its own), which calls fail, whose answers are lost,
and what happens to a sandbox by another's hand (`ends`, `vanishes`). Every call stands in `calls`.
"""

from __future__ import annotations

import builtins
import hashlib
import io
import itertools
import json
import tarfile
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from fnctl.engine.answers import no_image
from fnctl.engine.base import LABEL, Closer, EngineFacts, Event, ImageInfo, RunResult
from fnctl.errors import EngineError
from fnctl.model import SandboxInfo, SandboxSpec

KILLED = 137  # 128 + SIGKILL, as Docker tells it


class FakeClock:
    """A clock that only moves when something takes time on it. Safe from several threads."""

    def __init__(self) -> None:
        self._now = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


@dataclass(slots=True)
class FakeSandbox:
    """A container of the fake: what it was made of, and what has become of it."""

    id: str
    spec: SandboxSpec
    pid: int
    networks: dict[str, tuple[str, ...]]
    running: bool = True
    oom_killed: bool = False
    exit_code: int | None = None

    @property
    def info(self) -> SandboxInfo:
        pid = self.pid if self.running else 0
        return SandboxInfo(
            self.id, self.spec.name, self.running, pid, dict(self.spec.labels), self.oom_killed, self.exit_code
        )


@dataclass(slots=True)
class _Trouble:
    """What was programmed for one coming call."""

    error: EngineError
    done: bool  # the call takes effect, only its answer is lost
    leftover: bool = False  # … and cleaning up fails too


@dataclass(slots=True)
class _Watcher:
    engine: FakeEngine
    on_event: Callable[[Event], None]
    on_gap: Callable[[], None]

    def close(self) -> None:
        if self in self.engine.watchers:
            self.engine.watchers.remove(self)


@dataclass(slots=True)
class _Image:
    """Tags are names of an image; the last one gone, it is gone."""

    info: ImageInfo
    tags: set[str] = field(default_factory=set)


class FakeEngine:
    """See base.Engine for what each call guarantees; the contract suite holds both to it."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.latency_s: dict[str, float] = {}  # call → seconds on the clock
        self.sandboxes: dict[str, FakeSandbox] = {}
        self.networks: dict[str, tuple[bool, Mapping[str, str]]] = {"none": (True, {})}
        self.volumes: dict[str, Mapping[str, str]] = {}
        self.watchers: list[_Watcher] = []
        self.runs: deque[RunResult] = deque()  # the results of coming runs; none left: exit code 0, no output
        self.builds: deque[EngineError | None] = deque()
        self._images: dict[str, _Image] = {}
        self._troubles: dict[str, deque[_Trouble]] = defaultdict(deque)
        self._count = itertools.count(1)
        self._lock = threading.RLock()

    # -- programming it --------------------------------------------------------------------------------------------

    def fail(self, call: str, error: EngineError, *, times: int = 1) -> None:
        """The next `times` calls of this name do nothing and raise."""
        self._troubles[call].extend(_Trouble(error, done=False) for _ in range(times))

    def lose_reply(self, call: str, *, leftover: bool = False) -> None:
        """The next call of this name takes effect, and its answer does not come. `leftover`: and a half-made sandbox
        could not be removed either."""
        error = EngineError(f"{call}: the engine's answer broke off", code="engine_lost")
        self._troubles[call].append(_Trouble(error, done=True, leftover=leftover))

    def ends(self, sandbox: str, *, exit_code: int = KILLED, oom: bool = False) -> None:
        """The sandbox's process ends, by itself or by somebody's hand."""
        found = self._get(sandbox)
        found.running, found.exit_code, found.oom_killed = False, exit_code, oom
        if oom:
            self._tell("oom", found)
        self._tell("die", found)
        if found.spec.auto_remove:
            self.vanishes(sandbox)

    def vanishes(self, sandbox: str) -> None:
        """Somebody removes it."""
        with self._lock:
            found = self.sandboxes.pop(self._get(sandbox).id)
        if found.running:
            found.running, found.exit_code = False, KILLED
            self._tell("die", found)
        self._tell("destroy", found)

    def gap(self) -> None:
        """The event stream was cut and is open again."""
        for watcher in tuple(self.watchers):
            watcher.on_gap()

    def add_image(self, reference: str, labels: Mapping[str, str] | None = None, layers: Sequence[str] = ()) -> str:
        """An image as if pulled, built or loaded; its id."""
        image = f"sha256:{hashlib.sha256(f'{reference} {next(self._count)}'.encode()).hexdigest()}"
        with self._lock:
            self._images[image] = _Image(ImageInfo(image, (), dict(labels or {}), 0, tuple(layers)))
        self._name(image, reference)
        return image

    def _call(self, name: str, *args: object) -> _Trouble | None:
        """Note it, take its time, raise what was programmed. What it gives back is to be raised when done."""
        with self._lock:
            self.calls.append((name, args))
            trouble = self._troubles[name].popleft() if self._troubles[name] else None
        self.clock.sleep(self.latency_s.get(name, 0.0))
        if trouble is not None and not trouble.done:
            raise trouble.error
        return trouble

    def _tell(self, action: str, sandbox: FakeSandbox) -> None:
        labels = dict(sandbox.spec.labels)
        if labels.get(LABEL) == "1":
            event = Event(action, sandbox.id, labels, sandbox.exit_code if action == "die" else None)
            for watcher in tuple(self.watchers):
                watcher.on_event(event)

    # -- sandboxes -------------------------------------------------------------------------------------------------

    def facts(self) -> EngineFacts:
        self._answer(self._call("facts"))
        return EngineFacts("0", "1.41", "memory", 2, 4096, "memory", "2", "0", (), "", local=True)

    def create(self, spec: SandboxSpec) -> str:
        trouble = self._call("create", spec)
        with self._lock:
            if self._find_image(spec.image) is None:
                raise no_image(spec.image)
            if self._find(spec.name) is not None:
                raise EngineError(f"the engine refused the sandbox {spec.name}: the name is in use")
            if spec.network is not None and spec.network not in self.networks:
                raise EngineError(f"the engine refused the sandbox {spec.name}: network {spec.network} not found")
            number = next(self._count)
            sandbox = FakeSandbox(f"{number:064x}", spec, 1000 + number, {spec.network: ()} if spec.network else {})
            if trouble is None or trouble.leftover:
                self.sandboxes[sandbox.id] = sandbox
        self._answer(trouble)
        return sandbox.id

    def destroy(self, sandbox: str) -> None:
        trouble = self._call("destroy", sandbox)
        if self._find(sandbox) is not None:
            self.vanishes(sandbox)
        self._answer(trouble)

    def inspect(self, sandbox: str) -> SandboxInfo | None:
        self._answer(self._call("inspect", sandbox))
        found = self._find(sandbox)
        return found.info if found is not None else None

    def list(self, labels: Mapping[str, str]) -> builtins.list[SandboxInfo]:
        self._answer(self._call("list", labels))
        with self._lock:
            return [s.info for s in self.sandboxes.values() if labels.items() <= dict(s.spec.labels).items()]

    def ids(self, labels: Mapping[str, str]) -> frozenset[str]:
        self._answer(self._call("ids", labels))
        with self._lock:
            return frozenset(s.id for s in self.sandboxes.values() if labels.items() <= dict(s.spec.labels).items())

    def update(self, sandbox: str, *, memory_mb: int | None = None, cpus: float | None = None) -> None:
        trouble = self._call("update", sandbox, memory_mb, cpus)
        found = self._get(sandbox)
        found.spec = replace(found.spec, memory_mb=memory_mb or found.spec.memory_mb, cpus=cpus or found.spec.cpus)
        self._answer(trouble)

    def stats(self, sandbox: str) -> Mapping[str, float]:
        self._answer(self._call("stats", sandbox))
        self._get(sandbox)
        return {"memory_mb": 3.0, "peak_memory_mb": 4.0, "cpu_ms": 10.0}

    def run(
        self,
        spec: SandboxSpec,
        *,
        timeout_s: float,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> RunResult:
        trouble = self._call("run", spec)
        if self._find_image(spec.image) is None:
            raise no_image(spec.image)
        result = self.runs.popleft() if self.runs else RunResult(0, "")
        for line in result.output.splitlines():
            on_line(line)
        self._answer(trouble)
        return result

    def events(self, on_event: Callable[[Event], None], on_gap: Callable[[], None]) -> Closer:
        """Callbacks run in the thread that makes the event happen."""
        watcher = _Watcher(self, on_event, on_gap)
        self.watchers.append(watcher)
        on_gap()
        return watcher

    def close(self) -> None:
        self.watchers.clear()

    def _find(self, sandbox: str) -> FakeSandbox | None:
        with self._lock:
            found = self.sandboxes.get(sandbox)
            return found or next((s for s in self.sandboxes.values() if s.spec.name == sandbox), None)

    def _get(self, sandbox: str) -> FakeSandbox:
        found = self._find(sandbox)
        if found is None:
            raise EngineError(f"No such container: {sandbox}", code="engine_refused")
        return found

    @staticmethod
    def _answer(trouble: _Trouble | None) -> None:
        if trouble is not None:
            raise trouble.error

    # -- networks and volumes --------------------------------------------------------------------------------------

    def connect(self, sandbox: str, network: str, aliases: tuple[str, ...] = ()) -> None:
        trouble = self._call("connect", sandbox, network, aliases)
        found = self._get(sandbox)
        if network not in self.networks:
            raise EngineError(f"network {network} not found", code="engine_refused")
        found.networks.pop("none", None)
        found.networks[network] = aliases
        self._answer(trouble)

    def ensure_network(self, name: str, *, internal: bool, labels: Mapping[str, str]) -> None:
        trouble = self._call("ensure_network", name)
        self.networks.setdefault(name, (internal, dict(labels)))
        self._answer(trouble)

    def remove_network(self, name: str) -> None:
        trouble = self._call("remove_network", name)
        if any(name in s.networks and s.running for s in self.sandboxes.values()):
            raise EngineError(f"network {name} has active endpoints", code="engine_refused")
        self.networks.pop(name, None)
        self._answer(trouble)

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        trouble = self._call("ensure_volume", name)
        self.volumes.setdefault(name, dict(labels))
        self._answer(trouble)

    def remove_volume(self, name: str) -> None:
        trouble = self._call("remove_volume", name)
        self.volumes.pop(name, None)
        self._answer(trouble)

    # -- images ----------------------------------------------------------------------------------------------------

    def images(self, labels: Mapping[str, str]) -> Sequence[ImageInfo]:
        self._answer(self._call("images", labels))
        return [self._told(i) for i in self._images.values() if labels.items() <= dict(i.info.labels).items()]

    def image(self, reference: str) -> ImageInfo | None:
        self._answer(self._call("image", reference))
        found = self._find_image(reference)
        return self._told(found) if found is not None else None

    def load(self, archive: IO[bytes]) -> None:
        """Takes the tags of the archive's manifest; layers and configuration are not looked at."""
        trouble = self._call("load")
        with tarfile.open(fileobj=io.BytesIO(archive.read())) as tar:
            manifest = tar.extractfile("manifest.json")
            for entry in json.load(manifest) if manifest else ():
                for tag in entry.get("RepoTags") or ():
                    self.add_image(tag)
        self._answer(trouble)

    def import_rootfs(self, archive: IO[bytes], reference: str, changes: Iterable[str]) -> None:
        changes = tuple(changes)
        trouble = self._call("import_rootfs", reference, changes)
        archive.read()
        labels = (change.partition(" ")[2] for change in changes if change.startswith("LABEL "))
        self.add_image(reference, dict(_label(text) for text in labels))
        self._answer(trouble)

    def pull(self, reference: str) -> None:
        self._call("pull", reference)
        raise no_image(reference)

    def tag(self, reference: str, new: str) -> None:
        trouble = self._call("tag", reference, new)
        found = self._find_image(reference)
        if found is None:
            raise no_image(reference)
        self._name(found.info.id, new)
        self._answer(trouble)

    def remove_image(self, reference: str) -> None:
        trouble = self._call("remove_image", reference)
        found = self._find_image(reference)
        if found is not None:
            found.tags.discard(_full(reference))
            if reference == found.info.id or not found.tags:
                self._images.pop(found.info.id)
        self._answer(trouble)

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
        """Every Dockerfile builds, unless `builds` holds an error for it."""
        trouble = self._call("build", context, tag)
        if self.builds and (error := self.builds.popleft()) is not None:
            raise error
        on_line(f"built {tag}")
        self.add_image(tag, labels)
        self._answer(trouble)

    def _find_image(self, reference: str) -> _Image | None:
        by_tag = (image for image in self._images.values() if _full(reference) in image.tags)
        return self._images.get(reference) or next(by_tag, None)

    def _name(self, image: str, reference: str) -> None:
        with self._lock:
            for other in self._images.values():
                other.tags.discard(_full(reference))
            self._images[image].tags.add(_full(reference))

    @staticmethod
    def _told(image: _Image) -> ImageInfo:
        return replace(image.info, tags=tuple(sorted(image.tags)))


def _full(reference: str) -> str:
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"


def _label(text: str) -> tuple[str, str]:
    """`key=value` as in a Dockerfile's LABEL."""
    key, _, value = text.partition("=")
    return key, value.strip('"')
