"""Packed modules (layers/python/fnctl_agent/pack.py): a program that looks at how it was loaded sees no difference."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.pack_shop import Language, Shop, opened

pytestmark = pytest.mark.engine

APP = Path(__file__).parent.parent / "fixtures" / "packed_python"
COMMAND = ("/usr/bin/python3", "-S", "-E", "-B", "-X", "utf8")
PYTHON = Language("python", COMMAND, "/opt/fnctl/python/packing.py", "observe.py")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("pack"), PYTHON) as made:
        shutil.copytree(APP, made.app, ignore=shutil.ignore_patterns("packages", "__pycache__"))
        shutil.copytree(APP / "packages", made.app / ".fnctl" / "site-packages")
        made.pack("app.py")
        yield made


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
