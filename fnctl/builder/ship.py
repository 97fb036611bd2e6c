"""Ship a bundle as an image that serves on $PORT under plain `docker run`. Not the pushing of it to a registry
(fnctl/release)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from fnctl import RELEASED, paths
from fnctl.builder import archive, record, store
from fnctl.builder import bundle as bundles
from fnctl.builder import layer_images as layers
from fnctl.builder.archive import Content
from fnctl.engine.port import Engine, ImageInfo
from fnctl.errors import EngineError, EngineUnavailable, ImageNotFound, UsageError
from fnctl.model import Bundle, Function, Project, RuntimeSpec
from fnctl.progress import Progress

GIT_S = 5.0
KEPT_VERSIONS = 3  # of each function: the current one and those to go back to


def repository(project: Project, function: Function) -> str:
    return f"fnctl/{project.id}/{function.name}"


def content(function: Function, bundle: Bundle, spec: RuntimeSpec, image: str) -> Content:
    return Content(function, bundle, spec, image, layers.architecture(), source_epoch() or 0, created_s(function))


def source_epoch() -> int | None:
    """https://reproducible-builds.org/specs/source-date-epoch/"""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not text.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH is `{text}`, not a whole number", hint="use seconds since 1970")
    return int(text)


def created_s(function: Function) -> int:
    """When the function's image says it was made, by its source alone: SOURCE_DATE_EPOCH, else the last commit of its
    folder, else the day of this fnctl's own release."""
    if (said := source_epoch()) is not None:
        return said
    told = _git(function, "log", "-1", "--format=%ct", "--", ".")
    return int(told) if told.isdigit() else RELEASED


def kept_at(function: Function) -> tuple[tuple[str, str], ...]:
    """The repository and the commit of the function's source, where git has both; no login of it. What was changed
    since then is not in it."""
    commit, remote = _git(function, "rev-parse", "HEAD"), _git(function, "remote", "get-url", "origin")
    if not commit:
        return ()
    parts = urlsplit(remote)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.scheme else remote
    return ((f"git+{bare or 'file:.'}", commit),)


def _git(function: Function, *words: str) -> str:
    """What git says of the function's folder; nothing where it says nothing, or is not there."""
    command = ["git", "-C", str(function.path), *words]
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False).stdout.strip()
    return ""


def key(made: Content) -> str:
    """Changes whenever the image would. Asks no engine."""
    words = (made.labels(), made.environment(), made.entrypoint(), made.architecture, made.epoch, made.created_s)
    parts = [word if isinstance(word, str) else repr(word) for word in words]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def ship(made: Content, *, engine: Engine, project: Project, progress: Progress) -> str:
    """Make the image and tag it `fnctl/PROJECT/FUNCTION:VERSION` and `:latest`; the first of these.

    The tags move when the image is complete, so that a failure leaves the old ones. ImageNotFound without the base.
    """
    step = f"Building image of {made.function.name}"
    progress.start(step)
    try:
        below = engine.image(made.base)
        if below is None:
            raise ImageNotFound(f"Docker has no image {made.base}", hint="`fnctl setup` builds it")
        references = [f"{repository(project, made.function)}:{tag}" for tag in (made.version, "latest")]
        _make(made, below, engine, references)
    except BaseException:
        progress.failed(step)
        raise
    progress.done(step, references[0])
    return references[0]


def _make(made: Content, below: ImageInfo, engine: Engine, references: list[str]) -> None:
    with store.working_folder(paths.home() / "images") as work, (work / "layer.tar").open("w+b") as layer:
        diff_id = archive.write_layer(made.bundle.root, layer, made.epoch)
        size = layer.tell()
        layer.seek(0)
        with tempfile.TemporaryFile(dir=work) as whole:
            archive.write_archive(whole, archive.config(made, below.layers, diff_id), layer, size, references)
            whole.seek(0)
            try:
                engine.load(whole)
            except EngineUnavailable:
                raise
            except EngineError:
                # an image store that wants every layer (containerd's): its builder has them
                _build(made, engine, work, references)


def _build(made: Content, engine: Engine, work: Path, references: list[str]) -> None:
    (work / "Dockerfile").write_text("\n".join(archive.dockerfile(made)) + "\n", "utf-8")
    engine.build(work, tag=references[0], labels=made.labels(), network="none")
    engine.tag(references[0], references[1])


def prune_versions(
    project: Project, functions: Iterable[Function], engine: Engine | None, keep: int = KEPT_VERSIONS
) -> list[str]:
    """Forget all but the last `keep` versions of these functions; the digests that went. Bundles in use anywhere stay.

    Without an engine the images stay, and so does the memory of them.
    """
    releases = paths.ProjectPaths.of(project.id).releases
    gone: list[str] = []
    for function in functions:
        release = record.read(releases, function.name)
        if release is None or len(release.before) < keep:
            continue
        kept, dropped = release.before[: keep - 1], release.before[keep - 1 :]
        for version in dropped:
            if version.image is not None and engine is not None:
                with suppress(ImageNotFound):
                    engine.remove_image(version.image)
        record.write(releases, release.remembering(kept))
        gone += [version.digest for version in dropped]
    used = record.digests_in_use(paths.home() / "projects")
    for digest in set(gone) - used:
        store.remove(bundles.folder(paths.bundles(), digest))
    return gone
