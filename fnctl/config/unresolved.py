"""The environment of functions as written in `fnctl.yaml` and included files, with every `${NAME}` unresolved."""

from __future__ import annotations

from fnctl.config.document import read_foreign
from fnctl.model import Project

_YAML = (".yaml", ".yml")


def environments(project: Project) -> dict[str, dict[str, str]]:
    """By function: the variables under its `environment:`. Those of an `env_file` are not there."""
    found: dict[str, dict[str, str]] = {}
    for path in project.reads if project.file is not None else ():
        if path.suffix not in _YAML or not path.is_file():
            continue
        data = read_foreign(path, path.name).data
        functions = data.get("functions") if isinstance(data, dict) else None
        for name, entry in (functions or {}).items() if isinstance(functions, dict) else ():
            said = entry.get("environment") if isinstance(entry, dict) else None
            if isinstance(said, dict):
                found[name] = {key: str(value) for key, value in said.items() if value is not None}
    return found
