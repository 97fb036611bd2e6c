"""Packed modules (layers/node/pack.js): a program that looks at how it was loaded sees the same without them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.pack_shop import Language, Shop, opened

pytestmark = pytest.mark.engine

APP = Path(__file__).parent.parent / "fixtures" / "packed"
NODE = Language("node", ("/opt/fnctl/node24/bin/node",), "/opt/fnctl/node/warm.js", "observe.js")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("pack"), NODE) as made:
        shutil.copytree(APP, made.app)
        made.pack("app.js")
        yield made


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
    index = shop.derived / "modules.json"
    whole = index.read_text()
    index.write_text(json.dumps(json.loads(whole) | {"format": "1 v0.0.0 x64"}))
    assert shop.observe("packed") == shop.observe("plain")
    index.write_text(whole)


def test_a_pack_holds_none_of_the_agents_own_modules(shop: Shop) -> None:
    """A bundle outlives a release of the agent: a contract's module in it would be the old one."""
    (shop.app / "aws.js").write_text("exports.handler = async () => 'x';\n")
    shop.write_pack("aws.handler", "lambda")
    index = json.loads((shop.cache / "modules.json").read_text())
    assert list(index["modules"]) == ["/fn/app/aws.js"]
    assert all(asked.startswith("/fn/app/") for asked in index["resolved"])
