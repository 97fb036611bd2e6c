"""What `fnctl verify` does: is a release what it says it is, who signed it, and does this source make it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fnctl.builder import layer_images as layers
from fnctl.control import pulling, shipping
from fnctl.control.prepare import Selection
from fnctl.control.shipping import Connect
from fnctl.errors import ReleaseError
from fnctl.progress import Progress, told
from fnctl.release import fetch, referrers, signature
from fnctl.release.fetch import Release
from fnctl.release.statements import CYCLONEDX, IN_TOTO

Select = Callable[[tuple[str, ...]], Selection]  # the functions of a release, in the project here


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. `signed`, `rebuilt`: None: not asked for."""

    name: str
    functions: tuple[tuple[str, str], ...]  # each with its bundle's digest
    boms: int
    provenance: bool
    signed: bool | None
    rebuilt: bool | None


def verify(text: str, key: Path | None, select: Select | None, connect: Connect, progress: Progress) -> Verified:
    """ReleaseError for the first thing that is not as it is said: content, signature, or what this source makes.

    `key`: a public key. `select`: build it anew from the project here, and compare."""
    blobs = shipping.blobs()
    public = signature.public_key(key) if key is not None else None
    with pulling.opened(text) as (source, target, name):
        with told(progress, "Checking contents"):
            release = fetch.read(source, target, layers.architecture(), blobs)
            for each in release.document.functions:
                fetch.check(release, each, source, blobs)
            for layer in release.sandbox.layers:
                if not source.has(layer):
                    raise ReleaseError(f"the release's layer {layer.digest} is missing", code="incomplete")
        if public is not None and key is not None:
            with told(progress, "Checking the signature"):
                if not referrers.is_signed(source, release.digest, public, blobs):
                    raise signature.unsigned(name.format(release.digest), key)
        with told(progress, "Checking provenance"):
            images = [image.digest for image in release.functions.values()]
            boms = sum(1 for image in images for _ in referrers.documents(source, image, CYCLONEDX, blobs))
            origin = _provenance(release, list(referrers.documents(source, release.digest, IN_TOTO, blobs)))
    rebuilt = None if select is None else _rebuilt(release, select, connect, progress)
    functions = tuple((each.function.name, each.digest) for each in release.document.functions)
    return Verified(name.format(release.digest), functions, boms, origin, None if public is None else True, rebuilt)


def _provenance(release: Release, statements: list[dict[str, object]]) -> bool:
    """Is there a statement of how it was made, and does it speak of this? ReleaseError where one speaks of another."""
    for said in statements:
        if not _speaks_of(said, release):
            raise ReleaseError(f"the provenance of {release.digest} describes another release", code="provenance")
    return bool(statements)


def _speaks_of(said: dict[str, object], release: Release) -> bool:
    try:
        digests = {each["digest"]["sha256"] for each in said["subject"]}  # type: ignore[attr-defined]
        made = said["predicate"]["buildDefinition"]["externalParameters"]["functions"]  # type: ignore[index]
        bundles = {name: entry["bundle"] for name, entry in made.items()}
    except (KeyError, TypeError, AttributeError):
        return False
    wanted = {release.digest, *(image.digest for image in release.functions.values())}
    mine = {each.function.name: each.digest for each in release.document.functions}
    return {digest.removeprefix("sha256:") for digest in wanted} <= digests and bundles == mine


def _rebuilt(release: Release, select: Select, connect: Connect, progress: Progress) -> bool:
    """True; ReleaseError says which parts are other ones."""
    selection = select(tuple(each.function.name for each in release.document.functions))
    packed = shipping.make(selection, connect, progress).packed
    if packed.index.digest == release.digest:
        return True
    different = []
    if [layer.digest for layer in packed.base.layers] != [layer.digest for layer in release.sandbox.layers]:
        different.append("the layers below the code (other versions of fnctl, or of Debian's packages)")
    for each in release.document.functions:
        name = each.function.name
        if packed.code[name].digest != release.functions[name].layers[-1].digest:
            different.append(f"the code of {name}")
        elif packed.images[name].digest != release.functions[name].digest and not different:
            different.append(f"the image's configuration of {name} (handler, model, limits, or its date)")
    raise ReleaseError(
        f"this source gives {packed.index.digest}, not {release.digest}",
        detail="\n".join(different or ["the configuration of the project"]),
        hint="check out the commit that the release was built from",
        code="not_reproduced",
    )
