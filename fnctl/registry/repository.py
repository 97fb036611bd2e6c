"""A repository of a registry, over the OCI distribution API (https://github.com/opencontainers/distribution-spec)."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from fnctl.errors import RegistryError
from fnctl.registry import disk_full
from fnctl.registry.blobs import IMAGE_INDEX, IMAGE_MANIFEST, Blobs, Descriptor, Manifest, digest_of
from fnctl.registry.reference import Reference
from fnctl.registry.transport import Answer, Cut, Patience, Wire

UPLOAD_CHUNK = 8 << 20  # what is sent again, at most, after a cut
STALLS = 6  # cuts in a row that bring an upload or a download no byte further
ACCEPT = ", ".join(
    (
        IMAGE_INDEX,
        IMAGE_MANIFEST,
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_RANGE = re.compile(r"^(?:bytes=)?0-(\d+)$")

Moved = Callable[[int], None]  # told how many bytes of a blob are there by now


def _nobody(count: int) -> None:
    """Where no progress is asked for."""


class Repository:
    """One repository, by one thread. All calls raise RegistryError; what was cut goes on when it is called again."""

    def __init__(
        self, reference: Reference, wire: Wire, patience: Patience | None = None, chunk: int = UPLOAD_CHUNK
    ) -> None:
        """`chunk`: bytes that are sent at a time, where the registry does not want more."""
        self.reference = reference
        self._chunk = chunk
        self._wire = wire
        self._patience = patience or Patience()
        self._path = f"/v2/{reference.repository}"

    # -- blobs -----------------------------------------------------------------------------------------------------

    def has(self, blob: Descriptor) -> bool:
        answer = self._call("HEAD", f"{self._path}/blobs/{blob.digest}", push=True)
        if answer.status not in (200, 404):
            raise self._refused(answer, f"looking for {blob.digest}")
        return answer.status == 200

    def put(self, blob: Descriptor, file: Path, moved: Moved = _nobody, mount: str | None = None) -> None:
        """Send it, unless the registry can take it from the repository `mount` of its own. It is there when this
        returns, and nothing of it can be seen before."""
        location, chunk = self._begin(blob, mount)
        if location is None:
            moved(blob.size)
            return
        if blob.size <= chunk:
            self._put_whole(blob, file, location, moved)
        else:
            self._put_by_chunks(blob, file, location, chunk, moved)

    def _begin(self, blob: Descriptor, mount: str | None = None) -> tuple[str | None, int]:
        """Where to send it, None where it is there already; and in pieces of how much."""
        asked = {"mount": blob.digest, "from": mount} if mount else {}
        query = f"?{urlencode(asked)}" if asked else ""
        answer = self._call("POST", f"{self._path}/blobs/uploads/{query}", push=True)
        if answer.status == 201:
            return None, 0
        if answer.status != 202:
            raise self._refused(answer, f"beginning an upload to {self.reference.repository}")
        return self._location(answer), max(self._chunk, _whole(answer.headers.get("oci-chunk-min-length")))

    def _put_whole(self, blob: Descriptor, file: Path, location: str, moved: Moved) -> None:
        content = file.read_bytes()
        for stall in range(1, STALLS + 1):
            try:
                self._taken(self._call("PUT", _with(location, blob.digest), body=content, push=True, again=False), blob)
                break
            except Cut:  # was it taken? then it is there; else an upload of its own, since this one may be half full
                if self.has(blob):
                    break
                if stall == STALLS:
                    raise
                self._patience.pause(stall, None)
                fresh, _ = self._begin(blob)
                if fresh is None:
                    break
                location = fresh
        moved(blob.size)

    def _put_by_chunks(self, blob: Descriptor, file: Path, location: str, chunk: int, moved: Moved) -> None:
        at = stalls = 0
        with file.open("rb") as data:
            while at < blob.size and stalls < STALLS:
                data.seek(at)
                answer = self._patch(location, at, data.read(min(chunk, blob.size - at)), last=stalls == STALLS - 1)
                if answer is None or answer.status == 416:  # cut, or it has another count than we
                    self._patience.pause(stalls, None)
                    location, reached = self._resumed(blob, location)
                elif answer.status in (202, 204):
                    location, reached = self._location(answer), _reached(answer, min(at + chunk, blob.size))
                elif at == 0 and answer.status in (400, 404, 405, 501):  # it knows no chunks
                    fresh, _ = self._begin(blob)
                    return self._put_whole(blob, file, fresh, moved) if fresh is not None else moved(blob.size)
                else:
                    raise self._refused(answer, f"sending {blob.digest}")
                stalls = 0 if reached > at else stalls + 1
                at = reached
                moved(at)
        if at < blob.size:
            raise RegistryError(f"{self.reference.host} does not accept the rest of {blob.digest}", code=Cut.code)
        return self._close(blob, location)

    def _patch(self, location: str, at: int, piece: bytes, *, last: bool) -> Answer | None:
        """None where the connection was cut, unless that was the `last` attempt."""
        span = {"Content-Range": f"{at}-{at + len(piece) - 1}"}
        try:
            return self._call("PATCH", location, headers=span, body=piece, push=True, again=False)
        except Cut:
            if last:
                raise
            return None

    def _resumed(self, blob: Descriptor, location: str) -> tuple[str, int]:
        """The upload as the registry has it, from where it goes on; a new one where it knows nothing of it."""
        answer = self._call("GET", location, push=True)
        if answer.status in (200, 202, 204):
            return self._location(answer, location), min(blob.size, _reached(answer, 0))
        fresh, _ = self._begin(blob)
        return (fresh, 0) if fresh is not None else (location, blob.size)

    def _close(self, blob: Descriptor, location: str) -> None:
        """Say which digest it is. A second time where the answer was lost, unless it was taken."""
        try:
            answer = self._call("PUT", _with(location, blob.digest), push=True, again=False)
        except Cut:
            if self.has(blob):
                return
            answer = self._call("PUT", _with(location, blob.digest), push=True, again=False)
        self._taken(answer, blob)

    def _taken(self, answer: Answer, blob: Descriptor) -> None:
        if answer.status not in (201, 204):
            raise self._refused(answer, f"sending {blob.digest}")
        said = answer.headers.get("docker-content-digest")
        if said and said != blob.digest:
            raise RegistryError(f"{self.reference.host} stored {blob.digest} as {said}", code="digest_mismatch")

    def fetch(self, blob: Descriptor, into: Blobs, moved: Moved = _nobody) -> None:
        """Into the folder, checked; from where an earlier download stopped."""
        if into.has(blob.digest, blob.size):
            moved(blob.size)
            return
        into.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part, stalls = into.part(blob.digest), 0
        part.touch(mode=0o600)
        while (at := part.stat().st_size) < blob.size:
            try:
                with disk_full.told_of(into.folder):
                    self._fetch_on(blob, part, at, moved)
            except Cut:
                stalls = 0 if part.stat().st_size > at else stalls + 1
                if stalls == STALLS:
                    raise
                self._patience.pause(stalls, None)
        into.finish(blob)

    def _fetch_on(self, blob: Descriptor, part: Path, at: int, moved: Moved) -> None:
        wanted = {"Range": f"bytes={at}-"} if at else {}
        with self._wire.stream(
            "GET", f"{self._path}/blobs/{blob.digest}", scope=self._scope(push=False), headers=wanted
        ) as answer:
            if answer.status not in (200, 206):
                raise self._refused(answer, f"fetching {blob.digest}")
            at = at if answer.status == 206 else 0
            assert answer.raw is not None
            with part.open("r+b") as out:
                out.seek(at)
                out.truncate()
                while at < blob.size:
                    try:
                        piece = answer.raw.read1(1 << 18)
                    except (http.client.HTTPException, OSError) as error:
                        raise Cut(f"{blob.digest} broke off after {at} of {blob.size} bytes: {error!r}") from error
                    if not piece:
                        raise Cut(f"{blob.digest} ended after {at} of {blob.size} bytes")
                    at += out.write(piece[: blob.size - at])
                    moved(at)

    # -- manifests -------------------------------------------------------------------------------------------------

    def manifest(self, target: str) -> Manifest:
        """By tag or digest. `registry_missing` where there is none; a digest's is checked."""
        answer = self._call("GET", f"{self._path}/manifests/{target}", headers={"Accept": ACCEPT})
        if answer.status != 200:
            raise self._refused(answer, f"looking for {self.reference.host}/{self.reference.repository} {target}")
        if target.startswith("sha256:") and digest_of(answer.body) != target:
            raise RegistryError(f"asked for {target}, got {digest_of(answer.body)}", code="digest_mismatch")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip()
        found = Manifest(media_type, answer.body)
        return Manifest(str(found.read().get("mediaType") or media_type), answer.body)

    def put_manifest(self, manifest: Manifest, target: str | None = None) -> Mapping[str, str]:
        """Under its digest, or as the tag `target`, which means it from then on; the answer's headers."""
        answer = self._call(
            "PUT",
            f"{self._path}/manifests/{target or manifest.digest}",
            headers={"Content-Type": manifest.media_type},
            body=manifest.content,
            push=True,
        )
        if answer.status not in (200, 201, 202):
            raise self._refused(answer, f"writing {target or manifest.digest}")
        return answer.headers

    def referrers(self, digest: str) -> Manifest | None:
        """The index of what refers to a manifest. None where the registry has no such list: see `fallback_tag`."""
        answer = self._call("GET", f"{self._path}/referrers/{digest}", headers={"Accept": IMAGE_INDEX})
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        return Manifest(IMAGE_INDEX, answer.body) if answer.status == 200 and kind == IMAGE_INDEX else None

    def close(self) -> None:
        self._wire.close()

    # -- around them -----------------------------------------------------------------------------------------------

    def _scope(self, *, push: bool) -> str:
        return f"repository:{self.reference.repository}:{'pull,push' if push else 'pull'}"

    def _call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        push: bool = False,
        again: bool = True,
    ) -> Answer:
        said = {"Content-Type": "application/octet-stream", **(headers or {})} if body else dict(headers or {})
        return self._wire.call(method, url, scope=self._scope(push=push), headers=said, body=body, again=again)

    def _location(self, answer: Answer, otherwise: str | None = None) -> str:
        found = answer.headers.get("location") or otherwise
        if not found:
            raise RegistryError(f"{self.reference.host} started an upload but did not say where to")
        return self._wire.absolute(found)

    def _refused(self, answer: Answer, doing: str) -> RegistryError:
        said = _reason(answer.body)
        message = f"{self.reference.host} refused {doing}: HTTP {answer.status}{f', {said}' if said else ''}"
        if answer.status in (401, 403):
            hint = f"`docker login {self.reference.host}` with a user who can do that"
            return RegistryError(message, hint=hint, code="registry_denied")
        if answer.status == 404:
            return RegistryError(message, hint="check the name and the tag", code="registry_missing")
        if answer.status == 429:
            return RegistryError(message, hint="it limits requests: try again later", code="registry_unavailable")
        if answer.status >= 500:
            return RegistryError(
                message, hint="try again: parts that were sent are not sent again", code="registry_unavailable"
            )
        return RegistryError(message)


def fallback_tag(digest: str) -> str:
    """The tag of the list of referrers, in a registry that has no API for it."""
    return digest.replace(":", "-")


def _with(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"


def _reached(answer: Answer, otherwise: int) -> int:
    """How many bytes of an upload are there. `0-0` stands for none, as registries mean it."""
    found = _RANGE.match(answer.headers.get("range", ""))
    if found is None:
        return otherwise
    return int(found[1]) + 1 if int(found[1]) else 0


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def _reason(body: bytes) -> str:
    """The registry's own words: `{"errors": [{"code", "message"}]}`, or the beginning of what stands there."""
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError, AttributeError):
        first = json.loads(body)["errors"][0]
        return f"{first.get('code', '')} {first.get('message', '')}".strip()[:200]
    text = body[:200].decode("utf-8", "replace").strip()
    return text if text.isprintable() else ""
