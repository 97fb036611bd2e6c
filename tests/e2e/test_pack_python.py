"""Packed modules (layers/python/fnctl_agent/pack.py): a program that looks at how it was loaded sees no difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fnctl import assets
from fnctl.build import layers
from fnctl.engine.base import LABEL, LABEL_ROLE
from fnctl.engine.docker import DockerEngine
from fnctl.model import SandboxSpec
from fnctl.progress import Silent

pytestmark = pytest.mark.engine

APP = Path(__file__).parent.parent / "fixtures" / "packed_python"
PYTHON = ("/usr/bin/python3", "-S", "-E", "-B", "-X", "utf8")
PACKER = "/opt/fnctl/python/packing.py"


@dataclass
class Shop:
    """A copy of the program with its packages, and a way to run Python over it."""

    engine: DockerEngine
    image: str
    app: Path
    cache: Path

    def python(self, *arguments: str) -> str:
        spec = SandboxSpec(
            name="fnctl-test-pack-python",
            image=self.image,
            command=(*PYTHON, *arguments),
            labels=((LABEL, "1"), (LABEL_ROLE, "build")),
            uid=70_001,
            mounts=((str(self.app), "/fn/app", True), (str(self.cache), "/fn/cache", False)),
        )
        ended = self.engine.run(spec, timeout_s=60)
        assert ended.exit_code == 0, ended.output
        return ended.output

    @property
    def derived(self) -> Path:
        return self.app / ".fnctl" / "compile-cache"

    def pack(self) -> None:
        self.python(PACKER, "/fn/app", "app.py", "/fn/cache")
        shutil.copytree(self.cache, self.derived)

    def observe(self, how: str) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self.python("/fn/app/observe.py", how))
        return seen


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    engine = DockerEngine()
    root = tmp_path_factory.mktemp("pack")
    shutil.copytree(APP, root / "app", ignore=shutil.ignore_patterns("packages", "__pycache__"))
    shutil.copytree(APP / "packages", root / "app" / ".fnctl" / "site-packages")
    (root / "cache").mkdir()
    (root / "cache").chmod(0o777)
    for folder in (root, root.parent):
        folder.chmod(0o755)
    image = layers.sandbox_image(engine, assets.default_runtimes(), Silent())
    made = Shop(engine, image, root / "app", root / "cache")
    made.pack()
    yield made
    engine.close()


@pytest.mark.parametrize("how", ["packed", "packed with library", "read ahead"])
def test_a_packed_program_sees_what_an_unpacked_one_sees(shop: Shop, how: str) -> None:
    plain, packed = shop.observe("plain"), shop.observe(how)
    assert packed == plain
    assert plain["main"] == "__main__"
    assert plain["thrown"][1].startswith("/fn/app/.fnctl/site-packages/plain/__init__.py:15:4 fail: raise ValueError")


def test_the_pack_is_what_is_run(shop: Shop) -> None:
    """Without the file of a packed module: else the test above would pass with no pack at all."""
    later = shop.app / ".fnctl" / "site-packages" / "plain" / "later.py"
    text = later.read_text()
    later.unlink()
    assert shop.observe("packed")["lazily"] == "/fn/app/.fnctl/site-packages/plain/later.py"
    later.write_text(text)


def another_build(whole: bytes) -> bytes:
    return b"1 3.0.0 of another build\n" + whole.partition(b"\n")[2]


@pytest.mark.parametrize("spoil", [another_build, lambda whole: whole[:100], lambda whole: whole[:-10], lambda _: b""])
def test_a_pack_that_is_not_whole_or_not_this_interpreters_is_left_alone(
    shop: Shop, spoil: Callable[[bytes], bytes]
) -> None:
    file = shop.derived / "modules.bin"
    whole = file.read_bytes()
    file.write_bytes(spoil(whole))
    try:
        assert shop.observe("packed") == shop.observe("plain")
    finally:
        file.write_bytes(whole)
