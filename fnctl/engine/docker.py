"""Docker as the Engine: sandboxes, networks, volumes, images. Not the connection (connection.py) nor the profile.

Blocking; each thread has its own client behind `Wire`. Streams (build, run, events) are in their own files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from docker.errors import APIError, DockerException
from docker.errors import NotFound as MissingImage

from fnctl.engine import answers, host_rules, profile
from fnctl.engine.building import Builder
from fnctl.engine.connection import Params, Refused, Unanswered, Wire, pieces
from fnctl.engine.events import Watch
from fnctl.engine.logs import LogStream
from fnctl.engine.one_shot import run_to_end
from fnctl.engine.port import Closer, Engine, EngineFacts, Event, Guard, ImageInfo, RunResult
from fnctl.engine.volumes import Volumes
from fnctl.errors import EngineError, ImageNotFound
from fnctl.model import SandboxInfo, SandboxSpec

MISSING = 404
CONFLICT = 409
TRANSFER_S = 600.0  # loading or pulling an image: bounds each silence, not the whole
TRAITS_S = 2.0  # where sandboxes follow each other, asking costs 3 % of each
LATE_S = 0.5  # a create whose answer was lost may still be at work: look once more after this


class DockerEngine(Engine):
    """The Engine protocol on a Docker Engine, 20.10 and later. See port.py for what each call guarantees."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        timeout_s: float = 30.0,
        enforce: Callable[[str, Guard], None] = host_rules.enforce,
    ) -> None:
        """Connects on the first call. EngineUnavailable where the environment names a context that is not there.
        `enforce`: how a network that has been made is guarded."""
        self._enforce = enforce
        self._wire = Wire(environ, timeout_s=timeout_s)
        self._cgroup_version: str | None = None
        self._known_traits: dict[str, tuple[profile.Traits, float]] = {}  # by image; and when it was asked

    def facts(self) -> EngineFacts:
        info, version = self._wire.call("GET", "/info"), self._wire.call("GET", "/version")
        return answers.facts(info, version, self._wire.api_version, local=self._wire.endpoint.local)

    def close(self) -> None:
        self._wire.close()

    # -- sandboxes -------------------------------------------------------------------------------------------------

    def create(self, spec: SandboxSpec) -> str:
        sandbox = self.make(spec)
        try:
            self.start(sandbox)
        except BaseException:
            with suppress(EngineError):  # the first error is the one to tell
                self.destroy(sandbox)
            raise
        return sandbox

    def make(self, spec: SandboxSpec) -> str:
        """A sandbox that is not started yet. For `create` and `run`; destroy it."""
        body = profile.create_body(spec, self._traits(spec.image))
        try:
            answer = self._wire.call("POST", "/containers/create", params={"name": spec.name}, body=body)
        except Refused as refused:
            raise self._create_refused(spec, refused) from refused
        except BaseException:
            with suppress(EngineError):
                self._remove_half_made(spec)
            raise
        return str(answer["Id"])

    def start(self, sandbox: str) -> None:
        """Start what `make` made."""
        self._wire.call("POST", f"/containers/{sandbox}/start")

    def _traits(self, image: str) -> profile.Traits:
        """Asked anew where the last answer is older than a moment: a tag may point to another image by now."""
        if self._cgroup_version is None:
            self._cgroup_version = self._wire.call("GET", "/info").get("CgroupVersion") or "1"
        known, asked_at = self._known_traits.get(image, (None, 0.0))
        if known is None or time.monotonic() - asked_at > TRAITS_S:
            config = self._image(image).get("Config") or {}
            known = profile.Traits(self._cgroup_version, tuple(config.get("Volumes") or ()))
            self._known_traits = {image: (known, time.monotonic())}  # one image makes nearly all of a run
        return known

    def _create_refused(self, spec: SandboxSpec, refused: Refused) -> EngineError:
        if refused.status == MISSING and "no such image" in refused.message.lower():
            return answers.no_image(spec.image)
        return EngineError(f"the engine refused the sandbox {spec.name}: {refused.message}")

    def _remove_half_made(self, spec: SandboxSpec) -> None:
        """The answer to a create was lost. What is there by the name, and carries our labels, is what it made."""
        for wait_s in (0.0, LATE_S):
            time.sleep(wait_s)
            found = self.inspect(spec.name)
            if found is not None and set(spec.labels) <= set(found.labels.items()):
                self.destroy(found.id)
                return

    def destroy(self, sandbox: str) -> None:
        try:
            self._wire.call("DELETE", f"/containers/{sandbox}", params={"force": "1", "v": "1"})
        except Refused as refused:
            already = refused.status == CONFLICT and "already in progress" in refused.message
            if refused.status != MISSING and not already:
                raise

    def pause(self, sandbox: str) -> None:
        self._wire.call("POST", f"/containers/{sandbox}/pause")

    def unpause(self, sandbox: str) -> None:
        try:
            self._wire.call("POST", f"/containers/{sandbox}/unpause")
        except Refused as refused:
            if refused.status not in (MISSING, CONFLICT) and "not paused" not in refused.message:
                raise

    def inspect(self, sandbox: str) -> SandboxInfo | None:
        try:
            return answers.sandbox_info(self._wire.call("GET", f"/containers/{sandbox}/json"))
        except Refused as refused:
            if refused.status == MISSING:
                return None
            raise

    def list(self, labels: Mapping[str, str]) -> list[SandboxInfo]:
        """One call, and one more for each container found: the list itself has no pid and no exit code."""
        return [info for found in self._rows(labels) if (info := self.inspect(found)) is not None]

    def ids(self, labels: Mapping[str, str]) -> frozenset[str]:
        return frozenset(self._rows(labels))

    def _rows(self, labels: Mapping[str, str]) -> Sequence[str]:
        rows = self._wire.call("GET", "/containers/json", params={"all": "1", "filters": _label_filter(labels)})
        return [row["Id"] for row in rows]

    def update(self, sandbox: str, *, memory_mb: int | None = None, cpus: float | None = None) -> None:
        body = profile.cpu(cpus) | ({} if memory_mb is None else profile.memory(memory_mb))
        if body:
            self._wire.call("POST", f"/containers/{sandbox}/update", body=body)

    def stats(self, sandbox: str) -> Mapping[str, float]:
        params = {"stream": "0", "one-shot": "1"}
        return answers.figures(self._wire.call("GET", f"/containers/{sandbox}/stats", params=params))

    def run(
        self,
        spec: SandboxSpec,
        *,
        timeout_s: float,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> RunResult:
        return run_to_end(self, self._wire, spec, timeout_s=timeout_s, on_line=on_line)

    def events(self, on_event: Callable[[Event], None], on_gap: Callable[[], None]) -> Closer:
        return Watch(self._wire, on_event, on_gap)

    def logs(self, sandbox: str, on_line: Callable[[str], None]) -> Closer:
        return LogStream(self._wire, sandbox, on_line)

    # -- networks and volumes --------------------------------------------------------------------------------------

    def connect(self, sandbox: str, network: str, aliases: tuple[str, ...] = ()) -> None:
        with suppress(Refused):  # it is on no network, or on another: what counts is the next call
            self._wire.call("POST", "/networks/none/disconnect", body={"Container": sandbox})
        endpoint = {"Aliases": list(aliases)} if aliases else {}
        self._wire.call(
            "POST", f"/networks/{quote(network)}/connect", body={"Container": sandbox, "EndpointConfig": endpoint}
        )

    def ensure_network(
        self, name: str, *, internal: bool, labels: Mapping[str, str], guard: Guard | None = None
    ) -> None:
        """A bridge. Internal: no way out, and the host has no address on it. Else: a way out, but not to each other."""
        if not self._exists(f"/networks/{quote(name)}"):
            self._make_network(name, internal=internal, labels=labels)
        if guard is None:
            return
        try:
            if not self._wire.endpoint.local:
                raise host_rules.cannot("the engine is on another machine")
            self._enforce(name, guard)
        except BaseException:
            self.remove_network(name)
            raise

    def _make_network(self, name: str, *, internal: bool, labels: Mapping[str, str]) -> None:
        option = "com.docker.network.bridge." + ("inhibit_ipv4" if internal else "enable_icc")
        body = {
            "Name": name,
            "Driver": "bridge",
            "Internal": internal,
            "CheckDuplicate": True,
            "Labels": dict(labels),
            "Options": {
                option: "true" if internal else "false",
                "com.docker.network.bridge.name": host_rules.bridge_name(name),
            },
        }
        try:
            self._wire.call("POST", "/networks/create", body=body)
        except Refused as refused:
            if refused.status != CONFLICT:  # somebody else has made it in between
                raise

    def remove_network(self, name: str) -> None:
        self._delete(f"/networks/{quote(name)}")
        if self._wire.endpoint.local:
            host_rules.forget(name)

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        rows = self._wire.call("GET", "/networks", params={"filters": _label_filter(labels)})
        return {row["Name"]: row.get("Labels") or {} for row in rows}

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._wire.call("POST", "/volumes/create", body={"Name": name, "Labels": dict(labels)})

    def remove_volume(self, name: str) -> None:
        self._delete(f"/volumes/{quote(name)}")

    def volumes(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        answer = self._wire.call("GET", "/volumes", params={"filters": _label_filter(labels)})
        return {row["Name"]: row.get("Labels") or {} for row in answer.get("Volumes") or ()}

    def read_volume(self, volume: str, image: str, labels: Mapping[str, str], out: IO[bytes]) -> None:
        Volumes(self, self._wire).read(volume, image, labels, out)

    def write_volume(self, volume: str, image: str, labels: Mapping[str, str], archive: IO[bytes]) -> None:
        Volumes(self, self._wire).write(volume, image, labels, archive)

    def _exists(self, path: str) -> bool:
        try:
            self._wire.call("GET", path)
        except Refused as refused:
            if refused.status == MISSING:
                return False
            raise
        return True

    def _delete(self, path: str, params: Mapping[str, str] | None = None) -> None:
        try:
            self._wire.call("DELETE", path, params=params)
        except Refused as refused:
            if refused.status != MISSING:
                raise

    # -- images ----------------------------------------------------------------------------------------------------

    def images(self, labels: Mapping[str, str]) -> Sequence[ImageInfo]:
        rows = self._wire.call("GET", "/images/json", params={"filters": _label_filter(labels)})
        return [info for row in rows if (info := self.image(row["Id"])) is not None]

    def image(self, reference: str) -> ImageInfo | None:
        try:
            return answers.image_info(self._image(reference))
        except ImageNotFound:
            return None

    def _image(self, reference: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._wire.call("GET", f"/images/{quote(reference, safe='/:@')}/json")
        except Refused as refused:
            if refused.status == MISSING:
                raise answers.no_image(reference) from refused
            raise
        return answer

    def load(self, archive: IO[bytes]) -> None:
        self._transfer("/images/load", {"quiet": "1"}, archive)

    def save(self, reference: str, out: IO[bytes]) -> None:
        self._image(reference)  # the engine answers for one that it has not with an empty archive, or late
        path = f"/images/{quote(reference, safe='/:@')}/get"
        with self._wire.stream("GET", path, timeout_s=TRANSFER_S) as response:
            for piece in response.iter_content(1 << 20):
                out.write(piece)

    def import_rootfs(self, archive: IO[bytes], reference: str, changes: Iterable[str]) -> None:
        repository, tag = answers.split_reference(reference)
        params = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": list(changes)}
        self._transfer("/images/create", params, archive)

    def _transfer(self, path: str, params: Params, archive: IO[bytes]) -> None:
        """The engine says 200 before it has read the archive; how it went stands in the messages that follow."""
        with self._wire.stream(
            "POST", path, params=params, data=archive, timeout_s=TRANSFER_S, content_type="application/x-tar"
        ) as response:
            for message in answers.json_lines(pieces(response)):
                if "error" in message:
                    raise EngineError(f"the engine could not take the image: {message['error']}")

    def pull(self, reference: str) -> None:
        """With the credentials that `docker login` has stored."""
        repository, tag = answers.split_reference(reference)
        name = reference if "@" in reference else repository
        try:
            for message in self._wire.client().pull(name, None if "@" in reference else tag, stream=True, decode=True):
                if "error" in message:
                    raise EngineError(f"pulling {reference} failed: {message['error']}")
        except MissingImage as error:
            raise answers.no_image(reference) from error
        except APIError as error:
            raise EngineError(f"pulling {reference} failed: {error.explanation or error}") from error
        except (DockerException, OSError) as error:
            raise Unanswered(f"pulling {reference} broke off: {error}") from error

    def tag(self, reference: str, new: str) -> None:
        repository, tag = answers.split_reference(new)
        try:
            self._wire.call(
                "POST", f"/images/{quote(reference, safe='/:@')}/tag", params={"repo": repository, "tag": tag}
            )
        except Refused as refused:
            if refused.status == MISSING:
                raise answers.no_image(reference) from refused
            raise

    def remove_image(self, reference: str) -> None:
        self._delete(f"/images/{quote(reference, safe='/:@')}")

    def build(
        self,
        context: Path,
        *,
        tag: str,
        labels: Mapping[str, str],
        network: str | None = None,
        on_line: Callable[[str], None] = lambda line: None,
        timeout_s: float = 1800,
    ) -> None:
        Builder(self._wire).build(
            context, tag=tag, labels=labels, network=network, on_line=on_line, timeout_s=timeout_s
        )


def _label_filter(labels: Mapping[str, str]) -> str:
    return json.dumps({"label": [f"{key}={value}" for key, value in labels.items()]})
