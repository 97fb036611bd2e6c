"""Where a program is packed and looked at: a copy of it, and its language run over it in the sandbox image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fnctl import catalog
from fnctl.builder import layer_images as layers
from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, LABEL_ROLE
from fnctl.model import SandboxSpec
from fnctl.progress import Silent


@dataclass(frozen=True, slots=True)
class Language:
    name: str  # also its container's: two languages may be looked at at once
    command: tuple[str, ...]
    packer: str
    observer: str  # the program of the fixture that says how it was loaded


@dataclass(frozen=True, slots=True)
class Shop:
    """A folder with `app`, the program, and `cache`, where packs are written. Made by `opened()`."""

    engine: DockerEngine
    image: str
    language: Language
    root: Path

    @property
    def app(self) -> Path:
        return self.root / "app"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def derived(self) -> Path:
        """Where the program's agent looks for its pack."""
        return self.app / ".fnctl" / "compile-cache"

    def run(self, *arguments: str) -> str:
        """What the language says with these arguments, which must succeed."""
        spec = SandboxSpec(
            name=f"fnctl-test-pack-{self.language.name}",
            image=self.image,
            command=(*self.language.command, *arguments),
            labels=((LABEL, "1"), (LABEL_ROLE, "build")),
            uid=70_001,
            mounts=((str(self.app), "/fn/app", True), (str(self.cache), "/fn/cache", False)),
        )
        ended = self.engine.run(spec, timeout_s=60)
        assert ended.exit_code == 0, ended.output
        return ended.output

    def write_pack(self, handler: str, *contract: str) -> None:
        """Into `cache`; the program does not have it yet."""
        self.run(self.language.packer, "/fn/app", handler, "/fn/cache", *contract)

    def pack(self, handler: str) -> None:
        self.write_pack(handler)
        shutil.copytree(self.cache, self.derived)

    def observe(self, how: str) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self.run(f"/fn/app/{self.language.observer}", how))
        return seen


@contextmanager
def opened(root: Path, language: Language) -> Iterator[Shop]:
    """A shop in this folder, which is pytest's; its `app` is the caller's to make."""
    engine = DockerEngine()
    image = layers.sandbox_image(engine, catalog.default_runtimes(), Silent())
    shop = Shop(engine, image, language, root)
    shop.cache.mkdir()
    shop.cache.chmod(0o777)
    for folder in (root, root.parent):
        folder.chmod(0o755)
    try:
        yield shop
    finally:
        engine.close()
