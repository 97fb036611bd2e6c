"""An Engine in memory, for tests and for trying things without Docker. It runs no code: sandboxes live until ended.

What a test can programme: how long each call takes (on a clock of its own), which calls fail, whose answers are lost,
and what happens to a sandbox by another's hand (`ends`, `vanishes`). Every call stands in `calls`.
"""

from __future__ import annotations

import builtins
import itertools
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from fnctl.engine.answers import no_image
from fnctl.engine.fake_images import FakeImages
from fnctl.engine.fake_sandbox import FakeSandbox
from fnctl.engine.port import LABEL, Closer, Engine, EngineFacts, Event, Guard, ImageInfo, RunResult
from fnctl.errors import EngineError
from fnctl.model import SandboxInfo, SandboxSpec

EMPTY_TAR = b"\0" * 10240
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


class FakeEngine(Engine):
    """See port.Engine for what each call guarantees; the contract suite holds both to it."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.latency_s: dict[str, float] = {}  # call → seconds on the clock
        self.sandboxes: dict[str, FakeSandbox] = {}
        self._networks: dict[str, Mapping[str, str]] = {"none": {}}  # the labels of each
        self._volumes: dict[str, Mapping[str, str]] = {}
        self.contents: dict[str, bytes] = {}  # of volumes, as tars
        self.paused: set[str] = set()
        self.watchers: list[_Watcher] = []
        self.runs: deque[RunResult] = deque()  # the results of coming runs; none left: exit code 0, no output
        self.builds: deque[EngineError | None] = deque()
        self._images = FakeImages()
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
        error = EngineError(f"{call}: the engine's answer was cut off", code="engine_lost")
        self._troubles[call].append(_Trouble(error, done=True, leftover=leftover))

    def ends(self, sandbox: str, *, exit_code: int = KILLED, oom: bool = False) -> None:
        """The sandbox's process ends, by itself or by somebody's hand."""
        found = self.get(sandbox)
        found.running, found.exit_code, found.oom_killed = False, exit_code, oom
        if oom:
            self._tell("oom", found)
        self._tell("die", found)
        if found.spec.auto_remove:
            self.vanishes(sandbox)

    def vanishes(self, sandbox: str) -> None:
        """Somebody removes it."""
        with self._lock:
            found = self.sandboxes.pop(self.get(sandbox).id)
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
        return self._images.add([reference], labels or {}, layers)

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
            if self._images.find(spec.image) is None:
                raise no_image(spec.image)
            if self._find(spec.name) is not None:
                raise EngineError(f"the engine refused the sandbox {spec.name}: the name is in use")
            if spec.network is not None and spec.network not in self._networks:
                raise EngineError(f"the engine refused the sandbox {spec.name}: network {spec.network} not found")
            number = next(self._count)
            on = {spec.network: spec.aliases} if spec.network else {}
            sandbox = FakeSandbox(f"{number:064x}", spec, 1000 + number, on)
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
        found = self.get(sandbox)
        found.spec = replace(found.spec, memory_mb=memory_mb or found.spec.memory_mb, cpus=cpus or found.spec.cpus)
        self._answer(trouble)

    def stats(self, sandbox: str) -> Mapping[str, float]:
        self._answer(self._call("stats", sandbox))
        self.get(sandbox)
        return {"memory_mb": 3.0, "peak_memory_mb": 4.0, "cpu_ms": 10.0}

    def run(
        self,
        spec: SandboxSpec,
        *,
        timeout_s: float,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> RunResult:
        trouble = self._call("run", spec)
        if self._images.find(spec.image) is None:
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

    def get(self, sandbox: str) -> FakeSandbox:
        found = self._find(sandbox)
        if found is None:
            raise EngineError(f"No such container: {sandbox}", code="engine_refused")
        return found

    @staticmethod
    def _answer(trouble: _Trouble | None) -> None:
        if trouble is not None:
            raise trouble.error

    def logs(self, sandbox: str, on_line: Callable[[str], None]) -> Closer:
        """Each line that `prints` gives it, in the thread that does."""
        self._answer(self._call("logs", sandbox))
        return self.get(sandbox).follow(on_line)

    def prints(self, sandbox: str, line: str) -> None:
        """The sandbox's process writes a line."""
        self.get(sandbox).print(line)

    # -- networks and volumes --------------------------------------------------------------------------------------

    def connect(self, sandbox: str, network: str, aliases: tuple[str, ...] = ()) -> None:
        trouble = self._call("connect", sandbox, network, aliases)
        found = self.get(sandbox)
        if network not in self._networks:
            raise EngineError(f"network {network} not found", code="engine_refused")
        found.networks.pop("none", None)
        found.networks[network] = aliases
        self._answer(trouble)

    def ensure_network(
        self, name: str, *, internal: bool, labels: Mapping[str, str], guard: Guard | None = None
    ) -> None:
        trouble = self._call("ensure_network", name, guard)
        self._networks.setdefault(name, dict(labels))
        self._answer(trouble)

    def remove_network(self, name: str) -> None:
        trouble = self._call("remove_network", name)
        if any(name in s.networks and s.running for s in self.sandboxes.values()):
            raise EngineError(f"network {name} has active endpoints", code="engine_refused")
        self._networks.pop(name, None)
        self._answer(trouble)

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        self._answer(self._call("networks", labels))
        return _carrying(self._networks, labels)

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        trouble = self._call("ensure_volume", name)
        self._volumes.setdefault(name, dict(labels))
        self._answer(trouble)

    def remove_volume(self, name: str) -> None:
        trouble = self._call("remove_volume", name)
        if any(name == source for s in self.sandboxes.values() for source, *_ in s.spec.mounts):
            raise EngineError(f"volume {name} is in use", code="engine_refused")
        self._volumes.pop(name, None)
        self.contents.pop(name, None)
        self._answer(trouble)

    def read_volume(self, volume: str, image: str, labels: Mapping[str, str], out: IO[bytes]) -> None:
        trouble = self._call("read_volume", volume, image)
        out.write(self.contents.get(volume, EMPTY_TAR))
        self._answer(trouble)

    def write_volume(self, volume: str, image: str, labels: Mapping[str, str], archive: IO[bytes]) -> None:
        trouble = self._call("write_volume", volume, image)
        self.contents[volume] = archive.read()
        self._answer(trouble)

    def pause(self, sandbox: str) -> None:
        trouble = self._call("pause", sandbox)
        self.paused.add(self.get(sandbox).id)
        self._answer(trouble)

    def unpause(self, sandbox: str) -> None:
        trouble = self._call("unpause", sandbox)
        self.paused.discard(sandbox)
        self._answer(trouble)

    def volumes(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        self._answer(self._call("volumes", labels))
        return _carrying(self._volumes, labels)

    # -- images ----------------------------------------------------------------------------------------------------

    def images(self, labels: Mapping[str, str]) -> Sequence[ImageInfo]:
        self._answer(self._call("images", labels))
        return self._images.carrying(labels)

    def image(self, reference: str) -> ImageInfo | None:
        self._answer(self._call("image", reference))
        return self._images.find(reference)

    def load(self, archive: IO[bytes]) -> None:
        trouble = self._call("load")
        self._images.load(archive)
        self._answer(trouble)

    def save(self, reference: str, out: IO[bytes]) -> None:
        self._call("save", reference)
        self._images.save(reference, out)

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
        found = self._images.find(reference)
        if found is None:
            raise no_image(reference)
        self._images.name(found.id, new)
        self._answer(trouble)

    def remove_image(self, reference: str) -> None:
        trouble = self._call("remove_image", reference)
        found = self._images.find(reference)
        if found is not None and any(found == self._images.find(s.spec.image) for s in self.sandboxes.values()):
            raise EngineError(f"image {reference} is in use", code="engine_refused")
        self._images.remove(reference)
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


def _carrying(named: Mapping[str, Mapping[str, str]], labels: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """Those that carry all these labels."""
    return {name: own for name, own in named.items() if labels.items() <= own.items()}


def _label(text: str) -> tuple[str, str]:
    """`key=value` as in a Dockerfile's LABEL."""
    key, _, value = text.partition("=")
    return key, value.strip('"')
