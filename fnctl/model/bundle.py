"""What a build makes of a function's code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DERIVED = ".fnctl/compile-cache"  # in a bundle: what its build made for its first load (builder/bundle.py)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The content-addressed result of building a function's code and its dependencies.

    `root` is a folder, read-only by convention, owned by fnctl, that holds exactly the files of the bundle;
    `digest` ("sha256:…") is over names, modes and contents of all of them.
    """

    function: str
    digest: str
    root: Path
    runtime: str
    handler: str
    size_bytes: int
    files: int
