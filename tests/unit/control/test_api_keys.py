"""The file of keys: what is kept, who can read it, and rotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.control.api_keys import KeyFile
from fnctl.errors import ConflictError, FnctlError, NotFound
from fnctl.triggers.http.keyring import KeyKind


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_a_key_is_told_once_and_kept_as_a_hash(file: KeyFile, tmp_path: Path) -> None:
    key, text = file.add("ci", KeyKind.BEARER, ["app"], 1.0)
    kept = (tmp_path / "keys.json").read_text()
    assert text.split("_", 2)[2] not in kept
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    found = file.keyring().bearer(text)
    assert found == key
    assert found is not None
    assert found.opens("app")
    assert not found.opens("other")


def test_a_key_has_256_random_bits(file: KeyFile) -> None:
    texts = {file.add(f"n{index}", KeyKind.BEARER, (), 1.0)[1] for index in range(20)}
    assert len(texts) == 20
    assert {len(text.split("_", 2)[2]) for text in texts} == {43}  # 32 bytes in base64 without padding


def test_what_is_nearly_a_key_is_none(file: KeyFile) -> None:
    _, text = file.add("ci", KeyKind.BEARER, (), 1.0)
    keyring = file.keyring()
    for near in (text[:-1], text + "A", text.swapcase(), text.replace("fk_", "fx_"), "", "fk_x", text[:11]):
        assert keyring.bearer(near) is None, near


def test_two_of_a_name_are_for_rotation(file: KeyFile) -> None:
    first, old = file.add("ci", KeyKind.BEARER, (), 1.0)
    _, new = file.add("ci", KeyKind.BEARER, (), 2.0)
    with pytest.raises(ConflictError, match="2 keys named ci are active"):
        file.add("ci", KeyKind.BEARER, (), 3.0)
    assert file.remove(first.id) == first
    assert file.keyring().bearer(old) is None
    assert file.keyring().bearer(new) is not None


def test_a_signing_key_opens_nothing_as_a_bearer(file: KeyFile) -> None:
    key, text = file.add("partner", KeyKind.SIGNING, (), 1.0)
    assert file.keyring().bearer(text) is None
    assert file.keyring().signing(key.id) == key


def test_an_unknown_key_cannot_be_removed(file: KeyFile) -> None:
    key, _ = file.add("ci", KeyKind.BEARER, (), 1.0)
    with pytest.raises(NotFound, match="no key with the id 00000000") as raised:
        file.remove("00000000")
    assert raised.value.hint is not None
    assert key.id in raised.value.hint


def test_a_file_that_is_not_ours_is_told(file: KeyFile, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"keys": [{"id": 1}]}')
    with pytest.raises(FnctlError, match="cannot be read"):
        file.keys()


def test_where_no_key_was_ever_made_there_is_none_to_remove(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no key with the id 00000000"):
        KeyFile(tmp_path / "never" / "keys.json").remove("00000000")
