"""A repository of a registry that cuts, refuses, stalls and lies. The registry is real HTTP; nobody waits for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fnctl.errors import FnctlError, RegistryError
from fnctl.registry.blobs import IMAGE_MANIFEST, Blobs, Descriptor, Manifest, digest_of, dumps
from fnctl.registry.credentials import Login
from fnctl.registry.reference import parse
from fnctl.registry.repository import Repository
from fnctl.registry.token import Tokens
from fnctl.registry.transport import Patience, Wire
from tests.support.registry import Fault, Registry, serving

SMALL = b"a small blob"
CHUNK = 32 << 10
BIG = b"".join(hashlib.sha256(b"%d" % at).digest() for at in range(3500))  # more than three chunks
MANIFEST = Manifest(IMAGE_MANIFEST, dumps({"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "layers": []}))


class Waits:
    """What was waited, in seconds; nothing really is."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.told.append(seconds)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as held:
        yield held


@pytest.fixture
def waits() -> Waits:
    return Waits()


def repository(registry: Registry, waits: Waits, login: Login | None = None, silence_s: float = 20.0) -> Repository:
    reference = parse(f"{registry.address}/team/shop:1")
    patience = Patience(wait=waits, chance=lambda: 1.0, silence_s=silence_s)
    return Repository(reference, Wire(reference, Tokens(login), patience), patience, CHUNK)


def stored(content: bytes, folder: Path) -> tuple[Descriptor, Path]:
    path = folder / "blob"
    path.write_bytes(content)
    return Descriptor("application/octet-stream", digest_of(content), len(content)), path


def put(registry: Registry, waits: Waits, content: bytes, folder: Path, **options: object) -> Descriptor:
    blob, path = stored(content, folder)
    with closing(repository(registry, waits)) as there:
        there.put(blob, path)
    return blob


@pytest.mark.parametrize("content", [b"", SMALL, BIG], ids=["nothing", "one piece", "chunks"])
def test_what_is_sent_is_there(registry: Registry, waits: Waits, content: bytes, tmp_path: Path) -> None:
    blob = put(registry, waits, content, tmp_path)
    assert registry.of("team/shop") == {blob.digest: content}


@pytest.mark.parametrize("at", [0, 2, 100, *range(1000, CHUNK, 9777), CHUNK - 1])
@pytest.mark.parametrize("skipped", [0, 1, 3])
def test_an_upload_goes_on_where_it_was_cut(
    registry: Registry, waits: Waits, at: int, skipped: int, tmp_path: Path
) -> None:
    blob, path = stored(BIG, tmp_path)
    seen: list[int] = []

    def moved(count: int) -> None:
        seen.append(count)
        if len(seen) == skipped:
            registry.faults.append(Fault("PATCH", cut_in=at))

    if skipped == 0:
        registry.faults.append(Fault("PATCH", cut_in=at))
    with closing(repository(registry, waits)) as there:
        there.put(blob, path, moved)
    assert registry.of("team/shop")[blob.digest] == BIG
    assert registry.received == len(BIG)
    assert sum("POST" in asked for asked in registry.asked) == 1


def test_an_upload_whose_answer_was_lost_is_not_sent_twice(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    registry.faults.append(Fault("PATCH", after=True))
    put(registry, waits, BIG, tmp_path)
    assert registry.received == len(BIG)


def test_an_upload_that_the_registry_forgot_begins_anew(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    registry.faults += [Fault("PATCH", cut_in=10), Fault("GET", path="uploads", status=404)]
    blob = put(registry, waits, BIG, tmp_path)
    assert registry.of("team/shop")[blob.digest] == BIG


@pytest.mark.parametrize("fault", [Fault("PUT", cut_in=3), Fault("PUT", after=True)], ids=["before", "after"])
def test_a_blob_in_one_piece_survives_a_cut(registry: Registry, waits: Waits, fault: Fault, tmp_path: Path) -> None:
    registry.faults.append(fault)
    blob = put(registry, waits, SMALL, tmp_path)
    assert registry.of("team/shop")[blob.digest] == SMALL


def test_the_last_word_of_an_upload_survives_a_cut(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    registry.faults.append(Fault("PUT", after=True))
    blob = put(registry, waits, BIG, tmp_path)
    assert registry.of("team/shop")[blob.digest] == BIG


def test_an_upload_that_never_moves_ends(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    registry.faults.append(Fault("PATCH", times=100, cut_in=0))
    with pytest.raises(RegistryError) as told:
        put(registry, waits, BIG, tmp_path)
    assert told.value.code == "registry_unavailable"
    assert len(waits.told) < 50


def test_a_registry_without_chunks_gets_one_piece(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    registry.no_chunks = True
    blob = put(registry, waits, BIG, tmp_path)
    assert registry.of("team/shop")[blob.digest] == BIG


def test_a_blob_of_another_repository_is_not_sent(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    blob, path = stored(BIG, tmp_path)
    registry.of("team/other")[blob.digest] = BIG
    with closing(repository(registry, waits)) as there:
        there.put(blob, path, mount="team/other")
    assert registry.of("team/shop")[blob.digest] == BIG
    assert registry.received == 0


# -- downloads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 1000, len(BIG) - 1])
def test_a_download_goes_on_where_it_was_cut(registry: Registry, waits: Waits, at: int, tmp_path: Path) -> None:
    blob, _ = stored(BIG, tmp_path)
    registry.of("team/shop")[blob.digest] = BIG
    registry.faults.append(Fault("GET", path="/blobs/", cut_out=at, headers={}))
    blobs = Blobs(tmp_path / "blobs")
    with closing(repository(registry, waits)) as there:
        there.fetch(blob, blobs)
    assert blobs.read(blob.digest) == BIG
    assert not list(blobs.folder.glob(".part-*"))


def test_a_download_goes_on_in_another_process(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    blob, _ = stored(BIG, tmp_path)
    registry.of("team/shop")[blob.digest] = BIG
    registry.faults += [Fault("GET", cut_out=1000), Fault("GET", times=100, status=500)]
    blobs = Blobs(tmp_path / "blobs")
    with closing(repository(registry, waits)) as there, pytest.raises(RegistryError):
        there.fetch(blob, blobs)
    registry.faults.clear()
    moved: list[int] = []
    with closing(repository(registry, waits)) as there:
        there.fetch(blob, blobs, moved.append)
    assert blobs.read(blob.digest) == BIG
    assert moved[0] > 1000


@pytest.mark.parametrize("wrong", [b"x" * len(SMALL), SMALL + b"more"], ids=["other bytes", "too many"])
def test_what_is_not_its_digest_is_not_kept(registry: Registry, waits: Waits, wrong: bytes, tmp_path: Path) -> None:
    blob, _ = stored(SMALL, tmp_path)
    registry.of("team/shop")[blob.digest] = wrong
    blobs = Blobs(tmp_path / "blobs")
    with closing(repository(registry, waits)) as there:
        if wrong.startswith(SMALL):
            there.fetch(blob, blobs)  # what is beyond the size that was said is not read
            assert blobs.read(blob.digest) == SMALL
            return
        with pytest.raises(RegistryError) as told:
            there.fetch(blob, blobs)
    assert told.value.code == "digest_mismatch"
    assert not list(blobs.folder.iterdir())


def test_a_login_is_not_shown_to_where_blobs_lie(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    blob, _ = stored(SMALL, tmp_path)
    registry.login = ("anna", "secret")
    with serving() as storage:
        registry.elsewhere = f"http://{storage.address}"
        storage.of("team/shop")[blob.digest] = SMALL
        with closing(repository(registry, waits, Login("anna", "secret"))) as there:
            there.fetch(blob, Blobs(tmp_path / "blobs"))
    assert storage.authorizations == [None]
    assert registry.authorizations[-1] == "Bearer t1"


def test_a_login_is_not_shown_to_where_an_upload_goes(registry: Registry, waits: Waits, tmp_path: Path) -> None:
    registry.login = ("anna", "secret")
    blob, path = stored(SMALL, tmp_path)
    with serving() as storage:
        session = "/v2/team/shop/blobs/uploads/1"
        storage.uploads[session] = bytearray()
        registry.faults.append(Fault("POST", status=202, headers={"Location": f"http://{storage.address}{session}"}))
        with closing(repository(registry, waits, Login("anna", "secret"))) as there:
            there.put_manifest(MANIFEST, "1")
            there.put(blob, path)
    assert storage.authorizations == [None]
    assert storage.of("team/shop") == {blob.digest: SMALL}


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_the_registry_says_how_long_to_wait(registry: Registry, waits: Waits) -> None:
    registry.faults.append(Fault("PUT", status=429, headers={"Retry-After": "7"}))
    with closing(repository(registry, waits)) as there:
        there.put_manifest(MANIFEST, "1")
    assert waits.told == [7.0]
    assert "team/shop:1" in registry.manifests


def test_a_registry_that_is_busy_is_asked_less_and_less(registry: Registry, waits: Waits) -> None:
    registry.faults.append(Fault("PUT", times=3, status=503))
    with closing(repository(registry, waits)) as there:
        there.put_manifest(MANIFEST, "1")
    assert waits.told == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_registry_that_stays_busy_is_told(registry: Registry, waits: Waits, status: int) -> None:
    registry.faults.append(Fault("PUT", times=100, status=status))
    with closing(repository(registry, waits)) as there, pytest.raises(RegistryError) as told:
        there.put_manifest(MANIFEST, "1")
    assert f"HTTP {status}" in told.value.message
    assert told.value.code == "registry_unavailable"
    assert told.value.hint


def test_a_registry_that_is_silent_is_told(registry: Registry, waits: Waits) -> None:
    registry.faults.append(Fault("GET", times=100, hang=True))
    with closing(repository(registry, waits, silence_s=0.05)) as there, pytest.raises(RegistryError) as told:
        there.manifest("1")
    assert "no answer" in told.value.message


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"\xff\xfe\x00", b"[]", b"{}", b"{" * 5000])
def test_garbage_is_told(registry: Registry, waits: Waits, body: bytes) -> None:
    registry.faults.append(Fault("GET", times=100, status=200, body=body))
    with closing(repository(registry, waits)) as there, pytest.raises(FnctlError) as told:
        there.manifest("1")
    assert "JSON" in told.value.message or "manifest" in told.value.message


def test_a_manifest_is_what_its_digest_says(registry: Registry, waits: Waits) -> None:
    registry.manifests[f"team/shop:{MANIFEST.digest}"] = (IMAGE_MANIFEST, b'{"schemaVersion":2}')
    with closing(repository(registry, waits)) as there, pytest.raises(RegistryError) as told:
        there.manifest(MANIFEST.digest)
    assert told.value.code == "digest_mismatch"


def test_the_registrys_own_words_are_told(registry: Registry, waits: Waits) -> None:
    with closing(repository(registry, waits)) as there, pytest.raises(RegistryError) as told:
        there.manifest("none")
    assert "MANIFEST_UNKNOWN manifest unknown" in told.value.message
    assert told.value.code == "registry_missing"


# -- logins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("basic", [False, True], ids=["token", "basic"])
def test_a_login_is_said_when_it_is_asked_for(registry: Registry, waits: Waits, basic: bool) -> None:
    registry.login, registry.basic = ("anna", "secret"), basic
    with closing(repository(registry, waits, Login("anna", "secret"))) as there:
        there.put_manifest(MANIFEST, "1")
        there.put_manifest(MANIFEST, "2")
    assert registry.authorizations[0] is None
    assert registry.tokens == (0 if basic else 1)


def test_a_token_that_ran_out_is_got_anew(registry: Registry, waits: Waits) -> None:
    registry.login = ("anna", "secret")
    with closing(repository(registry, waits, Login("anna", "secret"))) as there:
        there.put_manifest(MANIFEST, "1")
        registry.tokens += 1  # the one that was given is not known any more
        there.put_manifest(MANIFEST, "2")
    assert "team/shop:2" in registry.manifests


@pytest.mark.parametrize("where", ["/token", "manifests"])
def test_a_login_that_is_refused_is_told(registry: Registry, waits: Waits, where: str) -> None:
    registry.login = ("anna", "secret")
    registry.faults.append(Fault("GET" if where == "/token" else "PUT", path=where, times=100, status=403))
    with closing(repository(registry, waits, Login("anna", "wrong"))) as there, pytest.raises(RegistryError) as told:
        there.put_manifest(MANIFEST, "1")
    assert told.value.code == "registry_denied"
    assert "docker login" in (told.value.hint or "")
    assert "wrong" not in str(told.value)


def test_a_login_goes_to_no_address_that_is_not_encrypted(registry: Registry, waits: Waits) -> None:
    how = 'Bearer realm="http://token.example.org/",service="s"'
    registry.faults.append(Fault("PUT", times=9, status=401, headers={"WWW-Authenticate": how}))
    there = repository(registry, waits, Login("anna", "secret"))
    with closing(there), pytest.raises(RegistryError, match="not https"):
        there.put_manifest(MANIFEST, "1")
