"""Makes a new project from a template: a folder under templates/, copied, with the files named `*.j2` filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fnctl import catalog
from fnctl.config.problems import did_you_mean
from fnctl.errors import ConflictError, NotFound, UsageError

PROJECT_FILE = "fnctl.yaml"
# What work on a template in a checkout leaves behind; none of it is part of the template.
LEFTOVERS = {"node_modules", "__pycache__", ".pytest_cache", ".ruff_cache", ".venv", "coverage", ".DS_Store"}
_SIBLING = re.compile(r"^(?P<lead>\s*-\s*)\.\./(?P<name>[a-z0-9-]+)/", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write: its place in the project, its content, and whether it can be executed."""

    path: Path
    content: bytes
    executable: bool


def templates(root: Path | None = None) -> dict[str, Path]:
    """The templates by name."""
    folder = root or catalog.templates_dir()
    return {each.name: each for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")}


def create(template: str, folder: Path, name: str, root: Path | None = None) -> list[Path]:
    """Write a project into `folder`, which is made where it is not there; the files written, relative to it.

    Raises NotFound for a template that does not exist, and ConflictError where a file would be overwritten: then
    nothing is written at all.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder")
    files = plan(template, name, root)
    there = [str(file.path) for file in files if (folder / file.path).exists()]
    if there:
        hint = "choose another folder, or move these files"
        raise ConflictError(f"{folder} already contains {', '.join(there[:5])}", hint=hint, code="exists")
    for file in files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        if file.executable:
            target.chmod(0o755)
    return [file.path for file in files]


def plan(template: str, name: str, root: Path | None = None) -> list[NewFile]:
    """What a project of that template consists of, the templates that it includes in folders of their own."""
    known = templates(root)
    if template not in known:
        raise NotFound(f"no template named `{template}`", hint=did_you_mean(template, known))
    files = list(_files(known[template], Path(), name))
    for sibling in dict.fromkeys(_included(known[template])):
        if sibling in known:
            files += _files(known[sibling], Path(sibling), sibling)
    return files


def _included(template: Path) -> list[str]:
    """Names of the templates that a template's project file includes as its neighbours (`- ../NAME/…`)."""
    file = template / PROJECT_FILE
    return [found["name"] for found in _SIBLING.finditer(file.read_text("utf-8"))] if file.is_file() else []


def _files(template: Path, place: Path, name: str) -> Iterator[NewFile]:
    for path in sorted(template.rglob("*")):
        relative = path.relative_to(template)
        if path.is_dir() or LEFTOVERS.intersection(relative.parts) or path.suffix == ".pyc":
            continue
        content = path.read_bytes()
        if relative.suffix == ".j2":
            content, relative = _filled(content.decode("utf-8"), name), relative.with_suffix("")
        if relative == Path(PROJECT_FILE):
            # In the project, neighbours become folders inside.
            content = _SIBLING.sub(r"\g<lead>\g<name>/", content.decode("utf-8")).encode()
        yield NewFile(place / relative, content, bool(path.stat().st_mode & 0o100))


def _filled(text: str, name: str) -> bytes:
    from jinja2 import Environment, StrictUndefined  # 60 ms of import that listing templates does without

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(text).render(name=name).encode()
