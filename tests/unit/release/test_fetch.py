"""A release on its way in, from a registry and from a file; and what a hostile one could try."""

from __future__ import annotations

import gzip
import io
import resource
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.builder import archive, bundle, store, tree
from fnctl.engine.fake import FakeEngine
from fnctl.errors import FnctlError, ReleaseError
from fnctl.progress import Silent
from fnctl.registry.blobs import Blobs, Manifest, dumps
from fnctl.registry.layout import Layout
from fnctl.registry.reference import parse
from fnctl.registry.repository import Repository
from fnctl.registry.token import Tokens
from fnctl.registry.transport import Patience, Wire
from fnctl.release import fetch, publish
from tests.support.registry import Fault, serving
from tests.unit.release import releases


def nothing() -> None:
    raise AssertionError("nothing is missing")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def repository(address: str, name: str = "shop") -> Repository:
    reference = parse(f"{address}/{name}:1")
    patience = Patience(wait=lambda seconds: None)
    return Repository(reference, Wire(reference, Tokens(None), patience), patience)


def test_what_is_sent_to_a_registry_comes_out_of_it(tmp_path: Path) -> None:
    here, there = Blobs(tmp_path / "here" / "blobs"), Blobs(tmp_path / "there" / "blobs")
    packed = releases.release(tmp_path / "a", here)
    with serving() as registry, closing(repository(registry.address)) as shop:
        assert publish.to_registry(packed, shop, "1", here, nothing, Silent()) > 0
        release = fetch.read(shop, "1", "amd64", there)
        [each] = release.document.functions
        bundle = fetch.bundle(release, each, shop, there, Silent())
        engine = FakeEngine()
        image = fetch.sandbox_image(release, shop, engine, there, Silent())
    assert release.digest == packed.index.digest
    assert {path.name for path in bundle.root.rglob("*") if path.is_file()} == {"index.js", "page.html", "run.sh"}
    assert (bundle.root / "run.sh").stat().st_mode & 0o777 == 0o644
    found = engine.image(image)
    assert found is not None
    assert list(found.layers) == [layer.diff_id for layer in packed.base.layers]


def test_what_is_there_is_not_sent_again_and_comes_from_another_repository(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "here" / "blobs")
    packed = releases.release(tmp_path / "a", blobs)
    with serving() as registry:
        with closing(repository(registry.address)) as shop:
            publish.to_registry(packed, shop, "1", blobs, nothing, Silent())
            sent = registry.received
            assert publish.to_registry(packed, shop, "2", blobs, nothing, Silent()) == 0
        with closing(repository(registry.address, "other")) as other:
            publish.to_registry(packed, other, "1", blobs, nothing, Silent())
        assert registry.blobs["other"] == registry.blobs["shop"]
    manifests = sum(len(each.content) for each in (*packed.manifests, packed.index))  # the index is tagged by itself
    assert registry.received == sent + 2 * manifests


@pytest.mark.parametrize(
    ("method", "after"), [("HEAD", 0), ("HEAD", 3), ("POST", 0), ("POST", 2), *(("PUT", at) for at in range(12))]
)
def test_a_tag_never_means_half_a_release(method: str, after: int, tmp_path: Path) -> None:
    """Whenever the registry stops answering, the tag is what it was; and the next attempt ends well."""
    blobs = Blobs(tmp_path / "here" / "blobs")
    packed = releases.release(tmp_path / "a", blobs)
    with serving() as registry:
        registry.faults += [Fault(method, times=after, status=0), Fault(method, times=1000, status=500)]
        with closing(repository(registry.address)) as shop:
            try:
                publish.to_registry(packed, shop, "1", blobs, nothing, Silent())
            except FnctlError:  # and nothing else
                assert "shop:1" not in registry.manifests
            registry.faults.clear()
            publish.to_registry(packed, shop, "1", blobs, nothing, Silent())
            assert fetch.read(shop, "1", "amd64", Blobs(tmp_path / "there")).digest == packed.index.digest


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """No file of this process can grow past so many bytes: the kernel refuses it as it does where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    here, there = Blobs(tmp_path / "here" / "blobs"), Blobs(tmp_path / "there" / "blobs")
    packed = releases.release(tmp_path / "a", here)
    file = tmp_path / "release.tar"
    file.write_bytes(b"what was before")
    big = max((blob for blob, _ in packed.blobs.values()), key=lambda blob: blob.size)
    with serving() as registry, closing(repository(registry.address)) as shop:
        publish.to_registry(packed, shop, "1", here, nothing, Silent())
        with full_after(big.size // 2):
            for work in (
                lambda: shop.fetch(big, there),
                lambda: publish.to_file(packed, file, here, nothing),
                lambda: there.add(b"x" * big.size, "text/plain"),
            ):
                with pytest.raises(ReleaseError) as told:
                    work()
                assert (told.value.code, "free disk space" in (told.value.hint or "")) == ("disk_full", True)
        assert not there.has(big.digest)
        assert file.read_bytes() == b"what was before"
        assert {path.name for path in tmp_path.glob(".release*")} == set()
        shop.fetch(big, there)
        assert there.has(big.digest, big.size), "it goes on when there is room"


def test_a_file_holds_the_whole_release_and_is_the_same_each_time(tmp_path: Path) -> None:
    here, there = Blobs(tmp_path / "here" / "blobs"), Blobs(tmp_path / "there" / "blobs")
    packed = releases.release(tmp_path / "a", here)
    one, other = tmp_path / "one.tar", tmp_path / "other.tar"
    publish.to_file(packed, one, here, nothing)
    publish.to_file(packed, other, here, nothing)
    assert one.read_bytes() == other.read_bytes()
    with closing(Layout(one)) as layout:
        release = fetch.read(layout, layout.tops()[0].digest, "amd64", there)
        [each] = release.document.functions
        assert fetch.bundle(release, each, layout, there, Silent()).root.is_dir()


def test_a_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "here" / "blobs")
    publish.to_file(releases.release(tmp_path / "a", blobs), whole := tmp_path / "whole.tar", blobs, nothing)
    content = whole.read_bytes()
    for part in (0, 100, 5000, len(content) // 2):
        (tmp_path / "cut.tar").write_bytes(content[:part])
        with pytest.raises(ReleaseError):
            Layout(tmp_path / "cut.tar")


def test_another_platform_is_told_with_what_there_is(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "here" / "blobs")
    packed = releases.release(tmp_path / "a", blobs)
    publish.to_file(packed, tmp_path / "r.tar", blobs, nothing)
    with closing(Layout(tmp_path / "r.tar")) as layout, pytest.raises(ReleaseError) as told:
        fetch.read(layout, packed.index.digest, "arm64", blobs)
    assert "linux/arm64" in told.value.message
    assert "linux/amd64" in told.value.message


class Served(Layout):
    """A file that gives other manifests where a test says so."""

    def __init__(self, file: Path, manifests: dict[str, Manifest]) -> None:
        super().__init__(file)
        self._others = manifests

    def manifest(self, target: str) -> Manifest:
        return self._others.get(target) or super().manifest(target)


def test_code_that_is_not_the_documents_is_refused_and_not_kept(tmp_path: Path, home: Path) -> None:
    blobs = Blobs(tmp_path / "here" / "blobs")
    packed = releases.release(tmp_path / "a", blobs)
    publish.to_file(packed, tmp_path / "r.tar", blobs, nothing)
    with closing(Layout(tmp_path / "r.tar")) as layout:
        release = fetch.read(layout, packed.index.digest, "amd64", blobs)
        [each] = release.document.functions
        wrong = replace(each, digest="sha256:" + "0" * 64)
        with pytest.raises(ReleaseError) as told:
            fetch.bundle(release, wrong, layout, blobs, Silent())
        assert told.value.code == "digest_mismatch"
        assert not list((home / "bundles").iterdir())
        said = packed.images["hello"].read()
        said["layers"] = said["layers"][:-1][::-1] + said["layers"][-1:]
    others = {packed.images["hello"].digest: Manifest(packed.index.media_type, dumps(said))}
    with closing(Served(tmp_path / "r.tar", others)) as mixed, pytest.raises(ReleaseError, match="image of hello"):
        fetch.read(mixed, packed.index.digest, "amd64", blobs)


def test_an_image_is_not_a_release(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "here" / "blobs")
    packed = releases.release(tmp_path / "a", blobs)
    publish.to_file(packed, tmp_path / "r.tar", blobs, nothing)
    with closing(Layout(tmp_path / "r.tar")) as layout, pytest.raises(ReleaseError, match="not a release"):
        fetch.read(layout, packed.images["hello"].digest, "amd64", blobs)


def hostile(kind: bytes, name: str, link: str = "", before: tuple[tuple[bytes, str, str], ...] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for one in (*before, (kind, name, link)):
            header = tarfile.TarInfo(one[1])
            header.type, header.linkname = one[0], one[2]
            tar.addfile(header, io.BytesIO(b""))
    return gzip.compress(out.getvalue())


@pytest.mark.parametrize(
    "layer",
    [
        hostile(tarfile.REGTYPE, "etc/passwd"),
        hostile(tarfile.REGTYPE, "fn/app/../../etc/passwd"),
        hostile(tarfile.REGTYPE, "/fn/app/x"),
        hostile(tarfile.REGTYPE, "fn/app/a/x", before=((tarfile.SYMTYPE, "fn/app/a", "/etc"),)),
        hostile(tarfile.REGTYPE, "fn/app/a", before=((tarfile.SYMTYPE, "fn/app/a", "/etc/passwd"),)),
        hostile(tarfile.LNKTYPE, "fn/app/x", "/etc/passwd"),
        hostile(tarfile.CHRTYPE, "fn/app/x"),
        hostile(tarfile.FIFOTYPE, "fn/app/x"),
        hostile(tarfile.DIRTYPE, "fn/other"),
    ],
    ids=["elsewhere", "up", "absolute", "below a link", "through a link", "hard link", "device", "fifo", "folder"],
)
def test_a_code_layer_leaves_its_folder_in_no_way(layer: bytes, tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(layer)
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(ReleaseError):
        fetch.unpack(tmp_path / "layer", root)
    assert {path.name for path in tmp_path.iterdir()} == {"layer", "root"}


def test_a_bundle_that_is_packed_and_unpacked_is_the_same_with_its_empty_folders(tmp_path: Path) -> None:
    source, copied, root, linked = (tmp_path / name for name in ("source", "copied", "root", "linked"))
    (source / "app/public").mkdir(parents=True)
    (source / "app/main.js").write_text("main")
    for folder in (copied, root, linked):
        folder.mkdir()
    items = store.copy(tree.scan(source), source, copied)
    layer = io.BytesIO()
    archive.write_layer(copied, layer, 0)
    (tmp_path / "layer").write_bytes(gzip.compress(layer.getvalue()))
    fetch.unpack(tmp_path / "layer", root)
    store.link(items, root, linked)
    for folder in (copied, root, linked):
        assert (folder / "app/public").is_dir()
        assert bundle.digest(store.index(folder)) == bundle.digest(items)
