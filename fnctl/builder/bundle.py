"""The bundle as a value: what it holds, and the digest of that. Pure: the same contents give the same digest anywhere.

Not in the digest: times, owners, modes other than "executable", the order of a folder, and what lies under DERIVED.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fnctl import model
from fnctl.errors import BuildError

# Beside the code, but no part of it: what a runtime made of the code for itself (V8's compile cache). It may be absent
# or made anew at any time, and is not the same byte for byte from one making to the next.
DERIVED = model.DERIVED

BULK_BYTES = 100_000_000  # of a folder's own files: a data set, a build's output, a forgotten archive

FILE, PROGRAM, LINK, FOLDER = "file", "program", "link", "folder"


@dataclass(frozen=True, slots=True)
class Item:
    """One file, symlink or empty folder. `value`: the SHA-256 of a file's content in hex, or where a symlink points."""

    name: str
    kind: str
    value: str
    size: int = 0

    @property
    def order(self) -> bytes:
        return os.fsencode(self.name)


def is_derived(name: str) -> bool:
    return name == DERIVED or name.startswith(DERIVED + "/")


def digest(items: Iterable[Item]) -> str:
    """`sha256:…` over names, kinds and contents, in whatever order they come. No name or target holds a NUL."""
    whole = hashlib.sha256(b"fnctl bundle 1\n")
    for item in sorted(items, key=lambda item: item.order):
        if not is_derived(item.name):
            whole.update(b"\0".join((item.kind.encode(), item.order, os.fsencode(item.value))) + b"\0\n")
    return f"sha256:{whole.hexdigest()}"


def folder(bundles: Path, value: str) -> Path:
    """Where the bundle of this digest lies."""
    return bundles / value.removeprefix("sha256:")


def bulk(code: Iterable[Item]) -> str:
    """What to say of a folder's own files that are so much that they can hardly all be meant; "" where they are not."""
    sizes: Counter[str] = Counter()
    for item in code:
        top, slash, _ = item.name.partition("/")
        sizes[top + slash] += item.size
    if sizes.total() < BULK_BYTES:
        return ""
    largest = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.most_common(3) if size >= BULK_BYTES / 20)
    return f"; large: {largest} (exclude in .dockerignore what the function does not need)"


def merged(code: Sequence[Item], dependencies: Sequence[Item], under: str) -> tuple[Item, ...]:
    """The code with its dependencies, which lie in folders named `under`, the top's and those of local packages;
    sorted. BuildError where the code holds such a folder itself."""
    places = {_place(item.name, under) for item in dependencies}
    taken = next((item.name for item in code if _place(item.name, under) in places), None)
    if taken is not None:
        raise BuildError(
            f"{taken} is in the folder where dependencies are installed",
            hint=f"name `{_place(taken, under)}` in the .dockerignore, or remove the `!` line that keeps it",
        )
    return tuple(sorted((*code, *dependencies), key=lambda item: item.order))


def _place(name: str, under: str) -> str | None:
    """The outermost folder `under` that the name is of, itself or below; None where it is of none."""
    at = f"/{name}/".find(f"/{under}/")
    return None if at < 0 else name[: at + len(under)]


def differences(one: Iterable[Item], other: Iterable[Item]) -> tuple[str, ...]:
    """Names that are not the same in both, sorted."""
    left = {item.name: (item.kind, item.value) for item in one if not is_derived(item.name)}
    right = {item.name: (item.kind, item.value) for item in other if not is_derived(item.name)}
    return tuple(sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name)))


def dumps(items: Iterable[Item]) -> str:
    """The items as JSON; `loads` reads it back, names that are no UTF-8 included."""
    return json.dumps([[item.name, item.kind, item.value, item.size] for item in items], separators=(",", ":"))


def loads(text: str) -> tuple[Item, ...]:
    return tuple(Item(*row) for row in json.loads(text))
