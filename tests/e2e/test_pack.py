"""Packed modules (layers/node/pack.js): a program that looks at how it was loaded sees the same without them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
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

APP = Path(__file__).parent.parent / "fixtures" / "packed"
NODE = "/opt/fnctl/node24/bin/node"


@dataclass
class Shop:
    """A copy of the program, and a way to run Node over it."""

    engine: DockerEngine
    image: str
    app: Path
    cache: Path

    def node(self, *arguments: str) -> str:
        spec = SandboxSpec(
            name="fnctl-test-pack",
            image=self.image,
            command=(NODE, *arguments),
            labels=((LABEL, "1"), (LABEL_ROLE, "build")),
            uid=70_001,
            mounts=((str(self.app), "/fn/app", True), (str(self.cache), "/fn/cache", False)),
        )
        ended = self.engine.run(spec, timeout_s=60)
        assert ended.exit_code == 0, ended.output
        return ended.output

    def pack(self) -> None:
        self.node("/opt/fnctl/node/warm.js", "/fn/app", "app.js", "/fn/cache")
        derived = self.app / ".fnctl" / "compile-cache"
        shutil.rmtree(derived, ignore_errors=True)
        shutil.copytree(self.cache, derived)

    def observe(self, how: str) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self.node("/fn/app/observe.js", how))
        return seen


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    engine = DockerEngine()
    root = tmp_path_factory.mktemp("pack")
    shutil.copytree(APP, root / "app")
    (root / "cache").mkdir()
    (root / "cache").chmod(0o777)
    for folder in (root, root.parent):
        folder.chmod(0o755)
    image = layers.sandbox_image(engine, assets.default_runtimes(), Silent())
    made = Shop(engine, image, root / "app", root / "cache")
    made.pack()
    yield made
    engine.close()


@pytest.mark.parametrize("how", ["packed", "read ahead"])
def test_a_packed_program_sees_what_an_unpacked_one_sees(shop: Shop, how: str) -> None:
    plain, packed = shop.observe("plain"), shop.observe(how)
    assert packed == plain
    assert plain["main"] is True
    assert plain["thrown"][0].endswith("/fn/app/node_modules/plain/index.js:6:40)")


def test_the_pack_is_what_is_run(shop: Shop) -> None:
    """Without the file of a packed module: else the test above would pass with no pack at all."""
    later = shop.app / "later.js"
    text = later.read_text()
    later.unlink()
    assert shop.observe("packed")["dynamic"] == "later"
    later.write_text(text)


def test_a_pack_of_another_node_is_left_alone(shop: Shop) -> None:
    index = shop.app / ".fnctl" / "compile-cache" / "modules.json"
    whole = index.read_text()
    index.write_text(json.dumps(json.loads(whole) | {"format": "1 v0.0.0 x64"}))
    assert shop.observe("packed") == shop.observe("plain")
    index.write_text(whole)


def test_a_pack_holds_none_of_the_agents_own_modules(shop: Shop) -> None:
    """A bundle outlives a release of the agent: a contract's module in it would be the old one."""
    (shop.app / "aws.js").write_text("exports.handler = async () => 'x';\n")
    shop.node("/opt/fnctl/node/warm.js", "/fn/app", "aws.handler", "/fn/cache", "lambda")
    index = json.loads((shop.cache / "modules.json").read_text())
    assert list(index["modules"]) == ["/fn/app/aws.js"]
    assert all(asked.startswith("/fn/app/") for asked in index["resolved"])
