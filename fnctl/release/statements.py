"""What is said of a release beside it: what is in each image (CycloneDX), and how it came to be (SLSA, in-toto). Pure
but for reading bundles. The same release gives the same words: no time and no machine is in them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fnctl.builder import archive
from fnctl.release.base_layers import Base
from fnctl.release.pack import Packed, Part

CYCLONEDX = "application/vnd.cyclonedx+json"
IN_TOTO = "application/vnd.in-toto+json"
PROVENANCE = "https://slsa.dev/provenance/v1"
STATEMENT = "https://in-toto.io/Statement/v1"
BUILD_TYPE = "https://fnctl.dev/build/v1"  # a name, as these are; `docs/guides/ship.md` says what it means
BUILDER = "https://fnctl.dev/fnctl"
DEBIAN = "debian-13"
_SPACE = uuid.UUID("7f2c1d0e-6c0b-5b0e-9a3e-2f1f6f0c9a11")  # of serial numbers made here

Component = dict[str, Any]


def sbom(part: Part, packed: Packed, made_by: str) -> dict[str, Any]:
    """Of one function's image, and so of one platform: CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""
    name = part.function.name
    image = packed.images[name].digest
    found = {each["purl"]: each for each in (*_debian(packed.base), *_dependencies(part.bundle.root))}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, image)}",
        "version": 1,
        "metadata": {
            "timestamp": archive.timestamp(part.created),
            "tools": {"components": [{"type": "application", "name": "fnctl", "version": made_by}]},
            "component": {
                "type": "container",
                "bom-ref": image,
                "name": name,
                "version": image,
                "hashes": [{"alg": "SHA-256", "content": image.removeprefix("sha256:")}],
            },
        },
        "components": [
            {
                "type": "platform",
                "bom-ref": f"runtime:{part.spec.name}",
                "name": part.spec.language,
                "version": part.spec.version,
            },
            *(found[purl] for purl in sorted(found)),
        ],
    }


def _component(kind: str, name: str, version: str, qualifiers: str = "") -> Component:
    """`name`: with its namespace, if it has one."""
    purl = f"pkg:{kind}/{quote(name, safe='/')}@{quote(version, safe='')}{qualifiers}"
    return {"type": "library", "bom-ref": purl, "name": name.rpartition("debian/")[2], "version": version, "purl": purl}


def _debian(base: Base) -> Iterator[Component]:
    for name, version in base.packages:
        yield _component("deb", f"debian/{name}", version, f"?distro={DEBIAN}")


def _dependencies(root: Path) -> Iterator[Component]:
    """What package managers have left in a bundle. A file that cannot be read names nothing."""
    for file in sorted(root.rglob("node_modules/*/package.json")) + sorted(
        root.rglob("node_modules/@*/*/package.json")
    ):
        said = _json(file)
        if isinstance(said.get("name"), str) and isinstance(said.get("version"), str):
            yield _component("npm", said["name"], said["version"])
    for file in sorted(root.rglob("*.dist-info/METADATA")):
        headers = HeaderParser().parsestr(file.read_text("utf-8", "replace"), headersonly=True)
        if headers["Name"] and headers["Version"]:
            yield _component("pypi", headers["Name"].lower().replace("_", "-"), headers["Version"])
    for file in sorted(root.rglob("vendor/composer/installed.json")):
        packages = _json(file).get("packages")
        for each in packages if isinstance(packages, list) else ():
            if isinstance(each, dict) and "name" in each and "version" in each:
                yield _component("composer", str(each["name"]), str(each["version"]))


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def provenance(
    parts: Sequence[Part], packed: Packed, made_by: str, sources: Mapping[str, Iterable[tuple[str, str]]]
) -> dict[str, Any]:
    """Of the whole release. `sources`: by function, (uri, commit) of where its source is kept, as far as git knows."""
    dependencies = [
        {"uri": uri, "digest": {"gitCommit": commit}}
        for uri, commit in sorted({each for found in sources.values() for each in found})
    ]
    dependencies += [
        {"uri": f"layer:{at}", "digest": {"sha256": layer.diff_id.removeprefix("sha256:")}}
        for at, layer in enumerate(packed.base.layers)
    ]
    subjects = [("release", packed.index.digest), *((name, image.digest) for name, image in packed.images.items())]
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}} for name, digest in subjects],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "functions": {
                        part.function.name: {"bundle": part.bundle.digest, "runtime": part.spec.name} for part in parts
                    }
                },
                "internalParameters": {},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"fnctl": made_by}}, "metadata": {}},
        },
    }
