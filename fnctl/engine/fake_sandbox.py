"""A container of the fake engine (fake.py), and who follows its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fnctl.model import SandboxInfo, SandboxSpec


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
    printed: list[str] = field(default_factory=list)
    readers: list[_Reader] = field(default_factory=list)

    def print(self, line: str) -> None:
        self.printed.append(line)
        for reader in tuple(self.readers):
            reader.on_line(line)

    def follow(self, on_line: Callable[[str], None]) -> _Reader:
        reader = _Reader(self, on_line)
        self.readers.append(reader)
        for line in self.printed:
            on_line(line)
        return reader

    @property
    def info(self) -> SandboxInfo:
        pid = self.pid if self.running else 0
        return SandboxInfo(
            self.id,
            self.spec.name,
            self.running,
            pid,
            dict(self.spec.labels),
            self.oom_killed,
            self.exit_code,
            {name: f"10.9.0.{self.pid % 250 + 2}" for name in self.networks if self.running and name != "none"},
        )


@dataclass(slots=True)
class _Reader:
    """Who follows a sandbox's output."""

    sandbox: FakeSandbox
    on_line: Callable[[str], None]

    def close(self) -> None:
        if self in self.sandbox.readers:
            self.sandbox.readers.remove(self)
