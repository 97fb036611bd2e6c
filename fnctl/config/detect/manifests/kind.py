"""What a reader of one kind of manifest consists of, and the parts that several of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fnctl.config.detect.finding import Finding
from fnctl.config.detect.manifests.place import Manifest, Place, Resolver
from fnctl.config.detect.manifests.translations import runtime_of

NO_RUNTIME = "name one that fnctl has, or leave the file out with a fnctl.yaml"


@dataclass(frozen=True, slots=True)
class Kind:
    """`names` are file names, tried in order; `is_one` tells by the content; `findings` are the functions in it.

    `mark` is a word that each such file has: it tells a broken one from a file of the same name that is something else.
    """

    platform: str
    names: tuple[str, ...]
    mark: str
    is_one: Callable[[Mapping[str, Any]], bool]
    resolver: Callable[[Mapping[str, Any]], Resolver]
    findings: Callable[[Manifest], list[Finding]]


def folder_of(place: Place, key: str) -> str | None:
    """The folder that `key` names, relative to where detection looks; "." where the key is not there.

    None, with a problem, where it is an archive, lies elsewhere, or is not there.
    """
    said = place.text(key)
    if said is None:
        return None if key in place else "."
    base = place.manifest.source.name.rpartition("/")[0]
    folder = place.manifest.folder
    target = (folder / base / said).resolve()
    if target.is_dir() and target.is_relative_to(folder.resolve()):
        return target.relative_to(folder.resolve()).as_posix() or "."
    if said.endswith((".zip", ".jar", ".war", ".tgz")):
        place.problem(key, f"`{said}` is an archive", "give the folder with the code instead")
    elif target.is_dir():
        place.problem(key, f"folder `{said}` is outside {folder.name}/", "run fnctl in the folder that contains both")
    else:
        place.problem(key, f"no such folder: `{said}`", "the path is relative to the manifest")
    return None


def runtime(place: Place, key: str) -> tuple[str, str | None] | None:
    """Language and version that `key` names. None, with a problem, where nothing is said."""
    word = place.text(key)
    if word is None:
        if key not in place:
            place.problem(None, f"`{key}` is missing in {place.name}", NO_RUNTIME)
        return None
    return runtime_of(word)


def handler_of(place: Place, key: str) -> str | None:
    """`module.attr`. None, with a problem, where nothing is said."""
    handler = place.text(key)
    if handler is None and key not in place:
        place.problem(None, f"`{key}` is missing in {place.name}")
    return handler.strip().removeprefix("./") if handler else None
