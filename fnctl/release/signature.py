"""Signatures as cosign makes them: an image beside the release, tagged by its digest, whose layer is what was signed.

https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from fnctl.errors import ReleaseError, UsageError
from fnctl.registry.blobs import IMAGE_CONFIG, Blobs, Descriptor, Manifest, descriptor, dumps
from fnctl.release.pack import manifest

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
_HINT = "make one: openssl ecparam -name prime256v1 -genkey -noout -out release.key"


def private_key(file: Path, password: bytes | None) -> ec.EllipticCurvePrivateKey:
    """A PEM file, with a password or without. UsageError for anything but ECDSA on P-256."""
    try:
        found = load_pem_private_key(file.read_bytes(), password)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"--sign {file}: {error}", hint=_HINT) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, ec.SECP256R1):
        raise UsageError(f"--sign {file}: not an ECDSA key on the curve P-256", hint=_HINT)
    return found


def public_key(file: Path) -> ec.EllipticCurvePublicKey:
    try:
        found = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError) as error:
        hint = "openssl ec -in release.key -pubout -out release.pub"
        raise UsageError(f"--key {file}: {error}", hint=hint) from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(found.curve, ec.SECP256R1):
        raise UsageError(f"--key {file}: not an ECDSA key on the curve P-256")
    return found


def tag(digest: str) -> str:
    """Where cosign looks for the signatures of a manifest."""
    return f"{digest.replace(':', '-')}.sig"


def payload(repository: str, digest: str) -> bytes:
    return dumps(
        {
            "critical": {
                "identity": {"docker-reference": repository},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def sign(
    repository: str, digest: str, key: ec.EllipticCurvePrivateKey, blobs: Blobs, before: Manifest | None
) -> tuple[Manifest, list[Descriptor]]:
    """The image of signatures with one more, and its blobs. Those that were there `before` stay."""
    signed = payload(repository, digest)
    made = base64.b64encode(key.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()
    blob = blobs.add(signed, PAYLOAD)
    layer = Descriptor(PAYLOAD, blob.digest, blob.size, ((SIGNATURE, made),))
    layers = [*(descriptor(each) for each in (before.read().get("layers") or [] if before is not None else [])), layer]
    config = {
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [each.digest for each in layers]},
    }
    stored = blobs.add(dumps(config), IMAGE_CONFIG)
    return manifest(stored, layers), [stored, blob]


def is_signed(found: Manifest, payloads: dict[str, bytes], digest: str, key: ec.EllipticCurvePublicKey) -> bool:
    """Is there a signature of this digest that the key has made? `payloads`: by their digests."""
    for layer in (descriptor(each) for each in found.read().get("layers") or []):
        held, made = payloads.get(layer.digest, b""), dict(layer.annotations).get(SIGNATURE, "")
        try:
            key.verify(base64.b64decode(made, validate=True), held, ec.ECDSA(hashes.SHA256()))
            if json.loads(held)["critical"]["image"]["docker-manifest-digest"] == digest:
                return True
        except (InvalidSignature, ValueError, KeyError, TypeError):
            continue
    return False


def unsigned(what: str, file: Path) -> ReleaseError:
    return ReleaseError(f"{what} has no signature of the key {file}", hint="do not run it", code="unsigned")
