"""What is said beside a release: bills of materials, provenance, signatures; in registries with and without the API."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fnctl.errors import UsageError
from fnctl.progress import Silent
from fnctl.registry.blobs import Blobs
from fnctl.registry.layout import TAG, Layout
from fnctl.registry.repository import Repository, fallback_tag
from fnctl.release import publish, referrers, signature, statements
from fnctl.release.pack import Packed, Part
from fnctl.release.statements import CYCLONEDX, IN_TOTO
from tests.support.registry import Registry, serving
from tests.unit.release import releases
from tests.unit.release.test_fetch import nothing, repository

DEPENDENCIES = {
    "node_modules/ms/package.json": '{"name": "ms", "version": "2.1.3"}',
    "node_modules/@scope/x/package.json": '{"name": "@scope/x", "version": "1.0.0"}',
    "node_modules/ms/node_modules/deep/package.json": '{"name": "deep", "version": "0.1.0"}',
    "node_modules/broken/package.json": "{",
    "libs/Flask_Login-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 1.2\n\nlong text\n",
    "vendor/composer/installed.json": '{"packages": [{"name": "monolog/monolog", "version": "3.5.0"}]}',
}


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "here" / "blobs")


@pytest.fixture
def made(tmp_path: Path, blobs: Blobs) -> tuple[Packed, Part]:
    return releases.packed(tmp_path / "a", blobs, files={**releases.FILES, **DEPENDENCIES})


@pytest.fixture(params=[False, True], ids=["fallback tag", "referrers API"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    with serving(Registry(has_referrers=request.param)) as held:
        yield held


def test_a_bill_of_materials_names_what_is_in_the_image(made: tuple[Packed, Part]) -> None:
    packed, part = made
    said = statements.sbom(part, packed, "0.1.0")
    purls = {each.get("purl") for each in said["components"]}
    assert {
        "pkg:npm/ms@2.1.3",
        "pkg:npm/%40scope/x@1.0.0",
        "pkg:npm/deep@0.1.0",
        "pkg:pypi/flask-login@1.2",
        "pkg:composer/monolog/monolog@3.5.0",
        "pkg:deb/debian/libc6@2.41-1?distro=debian-13",
    } <= purls
    assert said["metadata"]["component"]["version"] == packed.images["hello"].digest
    assert len({each["bom-ref"] for each in said["components"]}) == len(said["components"])


def test_what_is_said_is_the_same_from_another_machine(tmp_path: Path, made: tuple[Packed, Part]) -> None:
    other, part = releases.packed(tmp_path / "b", Blobs(tmp_path / "b"), files={**releases.FILES, **DEPENDENCIES})
    assert statements.sbom(made[1], made[0], "1") == statements.sbom(part, other, "1")
    sources = {"hello": [("git+https://example.org/shop", "abc")]}
    one, two = (statements.provenance([each[1]], each[0], "1", sources) for each in (made, (other, part)))
    assert one == two
    assert str(tmp_path) not in json.dumps(one)


def test_the_provenance_speaks_of_the_release_and_of_each_image(made: tuple[Packed, Part]) -> None:
    packed, part = made
    said = statements.provenance([part], packed, "1", {"hello": [("git+https://example.org/shop", "abc")]})
    subjects = {each["name"]: "sha256:" + each["digest"]["sha256"] for each in said["subject"]}
    assert subjects == {"release": packed.index.digest, "hello": packed.images["hello"].digest}
    built = said["predicate"]["buildDefinition"]
    assert built["externalParameters"]["functions"]["hello"]["bundle"] == part.bundle.digest
    assert {"uri": "git+https://example.org/shop", "digest": {"gitCommit": "abc"}} in built["resolvedDependencies"]


def test_documents_are_found_by_what_they_refer_to(registry: Registry, blobs: Blobs, made: tuple[Packed, Part]) -> None:
    packed, _ = made
    with closing(repository(registry.address)) as shop:
        publish.to_registry(packed, shop, "1", blobs, nothing, Silent())
        for kind, text in ((CYCLONEDX, "bom"), (IN_TOTO, "origin"), (IN_TOTO, "origin")):
            referrers.push(*referrers.attached({"said": text}, kind, packed.index.describe(), blobs), shop, blobs)
        found = [list(referrers.documents(shop, packed.index.digest, kind, blobs)) for kind in (CYCLONEDX, IN_TOTO)]
        assert found == [[{"said": "bom"}], [{"said": "origin"}]]
        assert referrers.listed(shop, packed.images["hello"].digest) == []
    tag = f"shop:{fallback_tag(packed.index.digest)}"
    assert (tag in registry.manifests) != registry.has_referrers


def test_the_release_is_tagged_after_what_is_said_of_it(blobs: Blobs, made: tuple[Packed, Part]) -> None:
    packed, _ = made

    def fails(shop: Repository) -> None:
        raise RuntimeError("cut")

    with serving() as registry, closing(repository(registry.address)) as shop:
        with pytest.raises(RuntimeError):
            publish.to_registry(packed, shop, "1", blobs, nothing, Silent(), fails)
        assert "shop:1" not in registry.manifests
        assert f"shop:{packed.index.digest}" in registry.manifests


def test_a_signature_is_of_one_key_and_one_release(registry: Registry, blobs: Blobs, made: tuple[Packed, Part]) -> None:
    packed, _ = made
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    digest = packed.index.digest
    with closing(repository(registry.address)) as shop:
        assert not referrers.is_signed(shop, digest, key.public_key(), blobs)
        referrers.sign(shop, digest, key, blobs)
        assert referrers.is_signed(shop, digest, key.public_key(), blobs)
        assert not referrers.is_signed(shop, digest, other.public_key(), blobs)
        tag = f"shop:{signature.tag(digest)}"
        before = registry.manifests[tag]
        referrers.sign(shop, digest, key, blobs)
        assert registry.manifests[tag] == before
        referrers.sign(shop, digest, other, blobs)
        assert referrers.is_signed(shop, digest, key.public_key(), blobs)
        assert referrers.is_signed(shop, digest, other.public_key(), blobs)
        elsewhere = "sha256:" + "0" * 64
        registry.manifests[f"shop:{signature.tag(elsewhere)}"] = registry.manifests[tag]
        assert not referrers.is_signed(shop, elsewhere, key.public_key(), blobs)


def test_a_signature_that_was_changed_is_none(registry: Registry, blobs: Blobs, made: tuple[Packed, Part]) -> None:
    digest, key = made[0].index.digest, ec.generate_private_key(ec.SECP256R1())
    with closing(repository(registry.address)) as shop:
        referrers.sign(shop, digest, key, blobs)
        tag = f"shop:{signature.tag(digest)}"
        kind, content = registry.manifests[tag]
        said = json.loads(content)
        for wrong in ("", "%%%", base64.b64encode(b"nothing").decode()):
            said["layers"][0]["annotations"][signature.SIGNATURE] = wrong
            registry.manifests[tag] = (kind, json.dumps(said).encode())
            assert not referrers.is_signed(shop, digest, key.public_key(), blobs)


def test_a_file_carries_what_is_said_of_it(tmp_path: Path, blobs: Blobs, made: tuple[Packed, Part]) -> None:
    packed, _ = made
    digest, key = packed.index.digest, ec.generate_private_key(ec.SECP256R1())
    said, _ = referrers.attached({"said": "bom"}, CYCLONEDX, packed.index.describe(), blobs)
    signed, _ = signature.sign("release", digest, key, blobs, None)
    beside = [(referrers.described(said), said), (signed.describe({TAG: signature.tag(digest)}), signed)]
    publish.to_file(packed, tmp_path / "r.tar", blobs, nothing, beside)
    there = Blobs(tmp_path / "there")
    with closing(Layout(tmp_path / "r.tar")) as layout:
        assert list(referrers.documents(layout, digest, CYCLONEDX, there)) == [{"said": "bom"}]
        assert referrers.is_signed(layout, digest, key.public_key(), there)
        assert referrers.tagged(layout, "none") is None


@pytest.mark.parametrize("curve", [ec.SECP384R1(), None])
def test_only_keys_that_cosign_has_are_taken(curve: ec.EllipticCurve | None, tmp_path: Path) -> None:
    file = tmp_path / "k.pem"
    if curve is None:
        file.write_text("no key")
    else:
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(ec.generate_private_key(curve).private_bytes(*form))
    with pytest.raises(UsageError) as told:
        signature.private_key(file, None)
    assert "openssl" in (told.value.hint or "")


def test_a_key_with_a_password_is_opened_by_it(tmp_path: Path) -> None:
    made = ec.generate_private_key(ec.SECP256R1())
    lock = serialization.BestAvailableEncryption(b"word")
    (tmp_path / "k.pem").write_bytes(
        made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    )
    found = signature.private_key(tmp_path / "k.pem", b"word")
    assert found.public_key().public_numbers() == made.public_key().public_numbers()
    for wrong in (None, b"other"):
        with pytest.raises(UsageError):
            signature.private_key(tmp_path / "k.pem", wrong)
