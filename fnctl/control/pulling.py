"""What `fnctl pull` and `fnctl run REFERENCE` begin with: a release on this machine, ready to be served from a folder.

The folder is the project, as it is where there is source: `fnctl ps`, `logs` and `stop` work in it. It holds what the
release says by name alone: `.env`, and files of secrets.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fnctl import catalog, projects
from fnctl.builder import builds, record, store
from fnctl.builder import layer_images as layers
from fnctl.builder.record import Release as Record
from fnctl.config import dotenv
from fnctl.config.locate import FILE_NAME, here, named, project_id
from fnctl.control import prepare, shipping
from fnctl.control.prepare import Prepared
from fnctl.engine.port import Engine
from fnctl.errors import ReleaseError, UsageError
from fnctl.model import Bundle, Function, Project, RuntimeSpec
from fnctl.paths import ProjectPaths
from fnctl.progress import Progress, told
from fnctl.registry import reference as references
from fnctl.registry.layout import Layout
from fnctl.release import document, fetch
from fnctl.release.document import Document
from fnctl.release.fetch import Source
from fnctl.release.pack import ARTIFACT
from fnctl.sandbox import secrets
from fnctl.sandbox.loading import Code


@dataclass(frozen=True, slots=True)
class Pulled:
    """A release whose every part is here. `name`: what it was asked by, with the digest."""

    document: Document
    name: str
    digest: str
    image: str
    bundles: Mapping[str, Bundle]  # by function


def is_release(words: list[str]) -> bool:
    """Does `fnctl run` mean a release by this? A function's name has no `/`, no `@`, and does not end in `.tar`."""
    return len(words) == 1 and ("/" in words[0] or "@" in words[0] or words[0].endswith(".tar"))


@contextmanager
def opened(text: str) -> Iterator[tuple[Source, str, str]]:
    """Where the release comes from, by what it is asked there, and how it is called with a digest in place of {}."""
    file, _, digest = text.rpartition("@") if ".tar@" in text else (text, "", "")  # as versions name it
    if file.endswith(".tar"):
        with closing(Layout(Path(file))) as layout:
            releases = [
                top for top in layout.tops() if layout.manifest(top.digest).read().get("artifactType") == ARTIFACT
            ]
            found = [top for top in releases if "manifests" in layout.manifest(top.digest).read()]
            if len(found) != 1:
                raise ReleaseError(
                    f"{file} contains {len(found)} releases", hint="`fnctl ship --to FILE.tar` writes one"
                )
            if digest not in ("", found[0].digest):
                raise ReleaseError(
                    f"{file} contains another release by now: not {digest}", hint="put the old file back"
                )
            yield layout, found[0].digest, f"{file}@{{}}"
    else:
        wanted = references.parse(text)
        with closing(shipping.repository(wanted)) as there:
            yield there, wanted.target, f"{wanted.host}/{wanted.repository}@{{}}"


def is_installed(place: Path) -> bool:
    """Does `fnctl run` without a word mean the version that was served from this folder?"""
    return not (place / FILE_NAME).is_file() and ProjectPaths.of(unread(place).id).versions.is_file()


def pull(text: str, engine: Engine, progress: Progress) -> Pulled:
    """Fetch what is not here, check all of it. Blocking. What was cut goes on the next time."""
    blobs = shipping.blobs()
    with opened(text) as (source, target, name):
        with told(progress, f"Reading {text}") as tell:
            release = fetch.read(source, target, layers.architecture(), blobs)
            tell(release.digest)
        image = fetch.sandbox_image(release, source, engine, blobs, progress)
        found = {
            each.function.name: fetch.bundle(release, each, source, blobs, progress)
            for each in release.document.functions
        }
    return Pulled(release.document, name.format(release.digest), release.digest, image, found)


def folder() -> Path:
    """Where the release is served from. UsageError where a project with source is."""
    place = here()
    if (place / FILE_NAME).is_file():
        raise UsageError(
            f"{place} has a {FILE_NAME}: a release needs a folder of its own",
            hint="make an empty folder for it, with its `.env` and its secrets; `fnctl run` alone serves this project",
        )
    return place


def unread(place: Path) -> Project:
    """The project of this folder, before anything is known of what it serves."""
    return Project(root=place.resolve(), id=project_id(place.resolve()), functions=(), place=named(place.resolve()))


def project(said: Document, place: Path, environ: Mapping[str, str] = os.environ) -> Project:
    """The release as the project of this folder. ConfigError where variables or secrets are missing."""
    environ = {**dotenv.load(place / document.ENV_FILE, environ), **environ}
    functions = document.placed(said, place, environ)
    workflows = document.placed_workflows(said, place)
    secrets.check(functions)
    return replace(unread(place), functions=functions, services=said.services, queues=said.queues, workflows=workflows)


def to_serve(pulled: Pulled, there: Project, engine: Engine, progress: Progress) -> Prepared:
    """Everything a stack needs. Blocking. The releases' bundles are this project's current versions from here on."""
    known = catalog.runtimes()
    for each in there.functions:
        if each.runtime not in known:
            hint = "use the same version of fnctl on both machines"
            raise ReleaseError(
                f"the release's {each.name} needs the runtime {each.runtime}, which is not here", hint=hint
            )
    prepare.check_home()
    projects.remember(there.id, there.place or there.root, there.name)
    specs = {each.name: catalog.runtime_of(each, known) for each in there.functions}
    for each in there.functions:
        bundle = pulled.bundles[each.name]
        builds.warm(each, specs[each.name], bundle, engine=engine, image=pulled.image, project=there, progress=progress)
    codes = tuple(Code(each, pulled.bundles[each.name], specs[each.name]) for each in there.functions)
    record_current(there, codes)
    services = prepare.planned(there, engine, pulled.image, progress)
    sandbox = tuple(known[name] for name in pulled.document.runtimes if name in known)
    return Prepared(there, engine, pulled.image, codes, services, sandbox)


def record_current(there: Project, codes: Iterable[Code]) -> None:
    """These are the functions' versions, and their bundles are in use."""
    releases = ProjectPaths.of(there.id).ensure().releases
    for each in codes:
        _record(releases, each.function, each.bundle, each.runtime)


def _record(releases: Path, function: Function, bundle: Bundle, spec: RuntimeSpec) -> None:
    """So that the bundle is in use, and known as the function's version."""
    last = record.read(releases, function.name)
    # What served before is in the folder's versions, and held by them for as long as they are kept.
    made = Record(
        function=function.name,
        digest=bundle.digest,
        runtime=spec.name,
        handler=function.handler,
        size_bytes=bundle.size_bytes,
        files=bundle.files,
        fingerprint=None,
        source="",
        seal=store.seal(bundle.root) or "",
    )
    if made != last:
        record.write(releases, made)
