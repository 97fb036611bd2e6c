"""A release is found again by the name that a version keeps of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.control import pulling
from fnctl.errors import ReleaseError
from fnctl.registry.blobs import Blobs
from fnctl.release import publish
from tests.unit.release import releases


def test_a_release_from_a_file_is_found_again_by_its_version_and_no_other_is_taken_for_it(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    packed = releases.release(tmp_path / "a", blobs)
    file = tmp_path / "r.tar"
    publish.to_file(packed, file, blobs, lambda: pytest.fail("nothing is missing"))
    with pulling.opened(str(file)) as (_, digest, name):
        assert digest == packed.index.digest
    with pulling.opened(name.format(digest)) as (_, again, the_same):
        assert (again, the_same) == (digest, name)
    other = f"{file}@sha256:{'0' * 64}"
    with pytest.raises(ReleaseError, match="another release by now"), pulling.opened(other):
        pytest.fail("it is another")
