"""User ids of slots: one a slot while it lives, and none that another run on the machine gives out."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fnctl.errors import NoCapacity
from fnctl.runtime.slot import Slot, Slots
from fnctl.runtime.uids import BLOCK, FIRST_UID, UidClaim


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
        with pytest.raises(NoCapacity, match="user ids"):
            claim.claim()


def test_a_slot_has_a_uid_of_its_own_while_it_lives(tmp_path: Path) -> None:
    blocks = iter([range(10, 13), range(20, 23)])
    slots = Slots(tmp_path, "r", lambda: next(blocks))
    made = [slots.acquire() for _ in range(4)]
    assert [slot.uid for slot in made] == [10, 11, 12, 20]
    slots.release(made[0])
    assert [slots.acquire().uid for _ in range(3)] == [21, 22, 10]


def test_a_slot_that_cannot_be_made_keeps_no_uid_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = Slots(tmp_path, "r", lambda: [7])

    def full(slot: Slot) -> None:
        slot.folder.mkdir()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Slot, "make", full)
        slots.acquire()
    assert list(tmp_path.iterdir()) == []
    assert slots.acquire().uid == 7
