"""What a pooled instance reads of a bundle before it is given a function: for whom it is from then on, and when."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from fnctl.model import DERIVED, StartKind, WarmRule
from fnctl.pool.read_ahead import ReadAhead
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.loading import Code
from tests.support.turning import until
from tests.unit.dispatch.played import NODE, Stage1, play

READS = replace(NODE, warm=WarmRule(("load",), ahead=True))


def cached(stage: Stage1, name: str = "todos", text: str = "1", **changes: Any) -> Code:
    """Code whose bundle has a cache, on a runtime that can read it."""
    code = stage.code(name, text, **changes)
    (code.bundle.root / DERIVED).mkdir(parents=True, exist_ok=True)
    (code.bundle.root / DERIVED / "pack").write_text("packed")
    return replace(code, runtime=READS)


def read_for(stage: Stage1, code: Code) -> list[Instance]:
    return [member for member in stage.pool.members if member.preparation.cache_of == code.bundle.digest]


def test_the_first_call_takes_the_instance_that_has_read_its_cache(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        code = cached(stage)
        await stage.start(code)
        [ready, *_] = read_for(stage, code)
        assert (stage.folder_of(ready) / "ahead" / "pack").read_text() == "packed"
        assert stage.script.loads == []
        lease = await stage.lease()
        assert (lease.start, lease.instance) == (StartKind.RUNTIME, ready.id)

    play(tmp_path, history)


def test_functions_of_one_bundle_share_what_one_instance_reads(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        code = cached(stage)
        await stage.start(code, cached(stage, "same-code"))
        assert len(stage.script.reads) == len(read_for(stage, code)) == 1

    play(tmp_path, history, warm=3)


def test_another_function_never_comes_into_a_process_that_has_read_this_ones_code(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        first, second = cached(stage, "first", "1"), cached(stage, "second", "2")
        await stage.start(first, second)
        [read] = read_for(stage, first)
        assert read_for(stage, second) == []  # one of two stays unread, for all others
        stage.script.boot_gate = asyncio.Event()  # nothing is refilled in between
        kinds = [(await stage.lease("second")).start]
        stage.script.boot_gate.set()
        assert kinds == [StartKind.RUNTIME]
        lease = await stage.lease("first")
        assert lease.instance == read.id

    play(tmp_path, history)


def test_a_call_that_finds_only_anothers_instance_takes_a_base_container(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        first = cached(stage, "first", "1")
        await stage.start(first)
        await until(lambda: len(read_for(stage, first)) == 1)
        await stage.scheduler.deploy(cached(stage, "second", "2"))
        lease = await stage.lease("second")
        assert lease.start is StartKind.BASE

    play(tmp_path, history, warm=1)


def test_a_new_version_ends_what_was_read_of_the_old(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        old, new = cached(stage, text="1"), cached(stage, text="2")
        await stage.start(old)
        await stage.scheduler.deploy(new)
        assert read_for(stage, old) == []
        await asyncio.wait_for(stage.pool.full(), 5)
        assert len(read_for(stage, new)) == 1

    play(tmp_path, history)


def test_a_cache_that_breaks_a_runtime_is_not_read_again_and_the_pool_fills(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.breaks_on_cache = True
        code = cached(stage)
        await stage.start(code)
        assert len(stage.script.reads) == 1
        assert read_for(stage, code) == []
        lease = await stage.lease()
        assert lease.start is StartKind.RUNTIME

    play(tmp_path, history)


def test_what_was_called_last_is_read_first(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        codes = [cached(stage, f"f{number}", str(number)) for number in range(4)]
        ahead = ReadAhead()
        for code in codes:
            ahead.deployed(code)
        digests = [code.bundle.digest for code in codes]
        assert [one.digest for one in ahead.wanted(READS.name, 3, set())] == digests[:2]
        ahead.called(codes[3])
        assert [one.digest for one in ahead.wanted(READS.name, 3, set())] == [digests[3], digests[0]]
        assert [one.digest for one in ahead.wanted(READS.name, 3, {digests[3]})] == [digests[0]]
        assert ahead.wanted(READS.name, 3, {digests[3], digests[0]}) == []
        assert ahead.wanted(READS.name, 1, set()) == []

    play(tmp_path, history)
