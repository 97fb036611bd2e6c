"""Ship a bundle as an image that serves on $PORT under plain `docker run`. Not the pushing of it to a registry."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fnctl import paths
from fnctl.build import archive, layers, record, store
from fnctl.build import bundle as bundles
from fnctl.build.archive import Content
from fnctl.engine.base import Engine, ImageInfo
from fnctl.errors import EngineError, EngineUnavailable, ImageNotFound, UsageError
from fnctl.model import Bundle, Function, Project, RuntimeSpec
from fnctl.progress import Progress

KEPT_VERSIONS = 3  # of each function: the current one and those to go back to


def repository(project: Project, function: Function) -> str:
    return f"fnctl/{project.id}/{function.name}"


def content(function: Function, bundle: Bundle, spec: RuntimeSpec, image: str) -> Content:
    return Content(function, bundle, spec, image, layers.architecture(), _epoch())


def _epoch() -> int:
    """https://reproducible-builds.org/specs/source-date-epoch/"""
    text = os.environ.get("SOURCE_DATE_EPOCH") or "0"
    if not text.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH is `{text}`", hint="it takes whole seconds since 1970")
    return int(text)


def key(made: Content) -> str:
    """Changes whenever the image would. Asks no engine."""
    parts = (repr(made.labels()), repr(made.environment()), repr(made.entrypoint()), made.architecture, str(made.epoch))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def ship(made: Content, *, engine: Engine, project: Project, progress: Progress) -> str:
    """Make the image and tag it `fnctl/PROJECT/FUNCTION:VERSION` and `:latest`; the first of these.

    The tags move when the image is complete, so that a failure leaves the old ones. ImageNotFound without the base.
    """
    step = f"image {made.function.name}"
    progress.start(step)
    try:
        below = engine.image(made.base)
        if below is None:
            raise ImageNotFound(f"the engine has no image {made.base}", hint="`fnctl setup` makes it")
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
