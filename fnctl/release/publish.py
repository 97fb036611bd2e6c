"""A packed release on its way out: to a registry, or into one file. Sends what is not there yet, and the tag last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fnctl.progress import Progress, told
from fnctl.registry import layout
from fnctl.registry.blobs import Blobs, Descriptor, Manifest, descriptor
from fnctl.registry.repository import Repository
from fnctl.release.pack import Packed

NAME = "release"  # what other tools find the release by, in a file that holds more
Ensure = Callable[[], object]  # makes blobs that are not on this machine any more
Beside = Callable[[Repository], None]  # sends what refers to the release


def nothing(repository: Repository) -> None:
    """Where nothing refers to it."""


def to_registry(
    packed: Packed,
    repository: Repository,
    tag: str,
    blobs: Blobs,
    ensure: Ensure,
    progress: Progress,
    beside: Beside = nothing,
) -> int:
    """Send what the registry has not: blobs, then manifests, then what is `beside` the release, the tag last, so that a
    tag always means all of it. How many bytes were sent. RegistryError leaves what was sent, which the next attempt
    does not send again."""
    pushed = Pushed(blobs.folder.parent / "pushed.json", repository.reference.host)
    missing = [blob for blob, _ in packed.blobs.values() if not repository.has(blob)]
    if any(not blobs.has(blob.digest, blob.size) for blob in missing):
        ensure()
    sent = 0
    for blob in missing:
        sent += _send(repository, blob, blobs.path(blob.digest), pushed.where(blob.digest), progress)
    for manifest in packed.manifests:
        repository.put_manifest(manifest)
    beside(repository)
    repository.put_manifest(packed.index, tag)
    pushed.remember(repository.reference.repository, packed.blobs)
    return sent


def _send(repository: Repository, blob: Descriptor, file: Path, mount: str | None, progress: Progress) -> int:
    step = f"Sending {blob.digest.removeprefix('sha256:')[:12]}, {blob.size / 1e6:.1f} MB"
    with told(progress, step):

        def moved(count: int) -> None:
            progress.line(step, f"{count / 1e6:.1f} of {blob.size / 1e6:.1f} MB")

        other = mount if mount != repository.reference.repository else None
        repository.put(blob, file, moved, other)
    return blob.size


class Pushed:
    """Which repository of a registry has which blobs: it can take them from there. A guess, for which nothing is lost
    where it is wrong."""

    def __init__(self, file: Path, host: str) -> None:
        self._file = file
        self._host = host
        self._known = self._read()

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def where(self, digest: str) -> str | None:
        return self._known.get(self._host, {}).get(digest)

    def remember(self, repository: str, digests: Iterable[str]) -> None:
        of_host = self._known.setdefault(self._host, {})
        of_host |= dict.fromkeys(digests, repository)
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._file.with_name(f".{self._file.name}")
        fresh.write_text(json.dumps(self._known))
        fresh.replace(self._file)


def to_file(
    packed: Packed, file: Path, blobs: Blobs, ensure: Ensure, beside: Sequence[tuple[Descriptor, Manifest]] = ()
) -> int:
    """The whole release as one file, with what refers to it; its size. It is complete, or what it was before."""
    if any(not blobs.has(blob.digest, blob.size) for blob, _ in packed.blobs.values()):
        ensure()
    held = dict(packed.blobs)
    for _, manifest in beside:
        said = manifest.read()
        for blob in (descriptor(each) for each in (said["config"], *said["layers"])):
            held[blob.digest] = (blob, blobs.path(blob.digest))
    manifests = [*packed.manifests, *(manifest for _, manifest in beside)]
    layout.write(file, manifests, held, [packed.index.describe({layout.TAG: NAME}), *(top for top, _ in beside)])
    return file.stat().st_size
