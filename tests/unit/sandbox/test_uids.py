"""User ids of slots: one a slot while it lives, and none that another run on the machine gives out."""

from __future__ import annotations

import resource
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fnctl.errors import NoCapacity
from fnctl.sandbox.slot import Slots
from fnctl.sandbox.uids import BLOCK, FIRST_UID, UidClaim


@pytest.fixture
def name() -> Iterator[str]:
    yield f"fnctl-test-{secrets.token_hex(4)}"


def test_two_runs_have_no_uid_in_common_and_the_end_of_one_frees_its_own(name: str) -> None:
    with closing(UidClaim(name)) as one, closing(UidClaim(name)) as other:
        first = one.claim()
        assert first == range(FIRST_UID, FIRST_UID + BLOCK)
        assert not set(first) & set(other.claim())
        one.close()
        assert other.claim() == first


def test_a_machine_that_is_full_says_so(name: str) -> None:
    with closing(UidClaim(name, blocks=2)) as claim:
        claim.claim()
        claim.claim()
        with pytest.raises(NoCapacity, match="user IDs"):
            claim.claim()


def test_a_slot_has_a_uid_of_its_own_while_it_lives(tmp_path: Path) -> None:
    blocks = iter([range(10, 13), range(20, 23)])
    slots = Slots(tmp_path, "r", lambda: next(blocks))
    made = [slots.acquire() for _ in range(4)]
    assert [slot.uid for slot in made] == [10, 11, 12, 20]
    slots.release(made[0])
    assert [slots.acquire().uid for _ in range(3)] == [21, 22, 10]


@contextmanager
def no_room() -> Iterator[None]:
    """Folders can be made, and no byte be written into a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_slot_that_cannot_be_made_keeps_no_uid_and_leaves_no_folder(tmp_path: Path) -> None:
    slots = Slots(tmp_path, "r", lambda: [7])
    with no_room(), pytest.raises(OSError, match="File too large"):
        slots.acquire()
    assert list(tmp_path.iterdir()) == []
    assert slots.acquire().uid == 7
