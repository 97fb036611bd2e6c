"""A release is the same byte for byte from other folders, times, users and umasks, and says nothing of this machine."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

from fnctl.registry.blobs import Blobs
from fnctl.release import base_layers
from fnctl.release.pack import NOWHERE, ROLE
from tests.unit.release import releases


def test_two_machines_make_the_same_release(tmp_path: Path) -> None:
    one = releases.release(tmp_path / "a", Blobs(tmp_path / "blobs-a"))
    before = os.umask(0o077)
    try:
        place = tmp_path / "another" / "place"
        other = releases.release(place, Blobs(tmp_path / "blobs-b"), mtime=1_234_567_890)
    finally:
        os.umask(before)
    assert one.index.digest == other.index.digest
    assert [each.digest for each in one.manifests] == [each.digest for each in other.manifests]
    assert one.blobs.keys() == other.blobs.keys()
    contents = [{digest: path.read_bytes() for digest, (_, path) in made.blobs.items()} for made in (one, other)]
    assert contents[0] == contents[1]


def test_other_code_makes_another_release_of_the_same_base(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    one = releases.release(tmp_path / "a", blobs)
    other = releases.release(tmp_path / "b", blobs, files={**releases.FILES, "index.js": "exports.hello = () => 'ho';"})
    assert one.index.digest != other.index.digest
    assert one.base == other.base


def test_nothing_of_this_machine_and_no_secret_is_in_it(tmp_path: Path) -> None:
    made = releases.release(tmp_path / "a", Blobs(tmp_path / "blobs"))
    whole = b"".join(each.content for each in made.manifests)
    for _, path in made.blobs.values():
        content = path.read_bytes()
        whole += gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    for word in (str(tmp_path), "s3cret", "builder"):
        assert word.encode() not in whole
    assert b"${GREETING:-hello}" in whole


def test_what_is_sent_comes_after_what_it_names(tmp_path: Path) -> None:
    made = releases.release(tmp_path / "a", Blobs(tmp_path / "blobs"))
    there = set(made.blobs)
    for each in made.manifests:
        said = each.read()
        named = [said[key] for key in ("config",) if key in said] + said.get("layers", []) + said.get("manifests", [])
        assert {one["digest"] for one in named} <= there
        there.add(each.digest)
    assert made.manifests[-1] == made.index


def test_an_engine_finds_the_function_and_passes_over_the_rest(tmp_path: Path) -> None:
    listed = releases.release(tmp_path / "a", Blobs(tmp_path / "blobs")).index.read()["manifests"]
    fits = [each for each in listed if each["platform"] == {"os": "linux", "architecture": "amd64"}]
    assert fits[0]["annotations"][ROLE] == "function"
    last = listed[-1]
    assert (last["platform"]["os"], last["platform"]["architecture"]) == NOWHERE


def test_an_image_says_an_age_that_its_source_has(tmp_path: Path) -> None:
    made = releases.release(tmp_path / "a", Blobs(tmp_path / "blobs"))
    config = made.images["hello"].read()["config"]["digest"]
    assert json.loads(made.blobs[config][1].read_bytes())["created"] == "2023-11-14T22:13:20Z"


# -- base layers -------------------------------------------------------------------------------------------------------


def normal(content: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    out = io.BytesIO()
    base_layers.normalise(io.BytesIO(content), out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        files = [(member, tar.extractfile(member)) for member in tar]
        return {member.name: (member, file.read() if file else b"") for member, file in files}


def test_a_base_layer_has_no_time_no_log_and_no_builder() -> None:
    made = normal(releases.layer({"./etc/passwd": b"root", "var/log/apt/history.log": b"now", "tmp/x": b""}, 12345))
    assert list(made) == ["etc/passwd"]
    header = made["etc/passwd"][0]
    assert (header.mtime, header.uname, header.uid) == (0, "", 0)


def test_compiled_python_goes_by_its_sources_new_time() -> None:
    by_time = b"magi" + b"\0" * 4 + b"\1\2\3\4" + b"size" + b"code"
    by_hash = b"magi" + b"\1\0\0\0" + b"\1\2\3\4" + b"size" + b"code"
    made = normal(releases.layer({"a.pyc": by_time, "b.pyc": by_hash, "c.txt": by_time}))
    assert made["a.pyc"][1] == b"magi" + b"\0" * 8 + b"size" + b"code"
    assert made["b.pyc"][1] == by_hash
    assert made["c.txt"][1] == by_time


def test_a_base_is_remembered_with_its_packages(tmp_path: Path) -> None:
    base = releases.base(Blobs(tmp_path / "blobs"), tmp_path / "save.tar")
    assert base.packages == (("libc6", "2.41-1"),)
    assert base_layers.is_whole(base, Blobs(tmp_path / "blobs"))
