"""Install the dependencies of a pyproject.toml, and not the project itself: `project.py PYPROJECT TARGET`.

pip has no such verb. A function is its code as it lies in the folder, so that building the project would only add a
second copy of it. Runs in the install container; pip's own output and exit code are what this program gives.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

PIP = "/opt/fnctl/build/pip/pip"
OPTIONS = ("--no-compile", "--no-warn-script-location", "--root-user-action=ignore", "--disable-pip-version-check")


def dependencies(document: dict) -> list[str]:
    """What [project] says it depends on. SystemExit with the reason where that is not written down."""
    project = document.get("project")
    if project is None:
        raise SystemExit("pyproject.toml has no [project] table: list the dependencies there, or in requirements.txt")
    if "dependencies" in project.get("dynamic", []):
        raise SystemExit("pyproject.toml leaves its dependencies to a build tool (dynamic): use requirements.txt")
    return list(project.get("dependencies", []))


def main(pyproject: str, target: str) -> int:
    with Path(pyproject).open("rb") as file:
        wanted = dependencies(tomllib.load(file))
    if not wanted:
        return 0
    # "--" ends options: a dependency that begins with a dash is then a bad requirement and not an option of pip.
    return subprocess.call([sys.executable, PIP, "install", *OPTIONS, "--target", target, "--", *wanted])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
