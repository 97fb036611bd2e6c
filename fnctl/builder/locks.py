"""Lock files: which there are, and what those of Python name. Pure. Their own tools read them whole, in a container."""

from __future__ import annotations

import re

OF_NODE = (
    "npm-shrinkwrap.json", "package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb",
)  # fmt: skip
OF_PYTHON = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")

_PACKAGES = re.compile(r"^\[\[package\]\]|\"version\"\s*:|\"(path|file|git|ref)\"\s*:", re.MULTILINE)
# Sources that lie in the project: uv, Poetry, PDM, Pipenv. The project itself ("." of uv) is not installed.
_FOLDERS = re.compile(
    r"""\b(?:editable|directory|virtual|path)\s*=\s*"(?!\."\s*\})"""
    r"""|^type\s*=\s*"(?:directory|file)"|"(?:path|editable)"\s*:""",
    re.MULTILINE,
)


def names_packages(name: str, content: bytes) -> bool:
    return bool(_PACKAGES.search(content.decode("utf-8", "replace")))


def names_folders(name: str, content: bytes) -> bool:
    """Does it name packages that are folders or files of the project?"""
    return bool(_FOLDERS.search(content.decode("utf-8", "replace")))
