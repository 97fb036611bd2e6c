"""Install what a lock file names: `locked.py TOOL TARGET`. The lock's own tool says what that is, and pip installs it.

So the project itself is not installed (a function is its code as it lies in the folder), and no virtual environment
made. Runs in the install container; the tool's and pip's own output and exit codes are what this program gives.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

TOOLS = Path("/fn/tools")
PIP = "/opt/fnctl/build/pip/pip"
INSTALL = (PIP, "install", "--no-compile", "--no-warn-script-location", "--root-user-action=ignore",
           "--disable-pip-version-check", "--no-deps")  # fmt: skip

# What each says on stdout: requirements with hashes, without those for development. None asks a network.
EXPORTS = {
    "uv": (
        [f"{TOOLS}/uv/uv", "export", "--frozen", "--no-dev", "--no-emit-project", "--no-editable", "--no-annotate",
         "--no-header", "--quiet", "--python", sys.executable],
    ),
    "poetry": (
        [sys.executable, "-m", "poetry", "export", "--only", "main", "--no-interaction"],
    ),
    "pdm": (
        [sys.executable, "-m", "pdm", "lock", "--check", "--quiet"],
        [sys.executable, "-m", "pdm", "export", "--prod", "--without-hashes", "--format", "requirements"],
    ),
    "pipenv": (
        [sys.executable, "-m", "pipenv", "verify"],
        [sys.executable, "-m", "pipenv", "requirements", "--hash"],
    ),
}  # fmt: skip


def exported(tool: str) -> str:
    """The tool's requirements. SystemExit with its own words where it refuses."""
    environment = {**os.environ, "PYTHONPATH": str(TOOLS / tool), "POETRY_VIRTUALENVS_CREATE": "false",
                   "PDM_IGNORE_ACTIVE_VENV": "1", "PDM_CHECK_UPDATE": "0", "PIPENV_IGNORE_VIRTUALENVS": "1",
                   "UV_NO_CACHE": "1", "UV_OFFLINE": "1", "PDM_PYTHON": sys.executable}  # fmt: skip
    said = ""
    for command in EXPORTS[tool]:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0 and command[-1] == "verify":
            # Its hash of a Pipfile without [[source]] has the indexes of pip's settings, where it was locked.
            plain = {**environment, "PIP_CONFIG_FILE": os.devnull}
            done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            words = " ".join(command[2 if command[0] == sys.executable else 1 :])
            raise SystemExit(f"{done.stdout}{done.stderr}\n{tool}: `{words}` ended with exit code {done.returncode}")
        said = done.stdout
    return said


def with_hashes(requirements: str, lock: dict) -> str:
    """`pdm export` refuses hashes for all where one has none, as a folder: they are added from the lock here."""
    files = {(each["name"], each["version"]): each.get("files", []) for each in lock.get("package", [])}
    lines = []
    for line in requirements.splitlines():
        pinned = re.match(r"([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", line)
        there = files.get((_name(pinned[1]), pinned[2]), []) if pinned else []
        lines.append(" ".join([line, *(f"--hash={file['hash']}" for file in there)]))
    return "\n".join(lines)


def stale_uv(project: dict, lock: dict) -> list[str]:
    """What [project] depends on and the lock does not know: `uv export --frozen` does not look. Names, sorted."""
    wanted = {_name(each) for each in project.get("project", {}).get("dependencies", [])}
    known = {package["name"] for package in lock.get("package", [])}
    return sorted(wanted - known)


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]*", requirement.strip())[0]).lower()


def sorted_out(requirements: str) -> tuple[list[str], list[str], list[str]]:
    """Options, requirements with hashes, and those that have none: folders and repositories. Never editable ones:
    what is installed must not point at where it came from."""
    lines = [" ".join(line.split()) for line in requirements.replace("\\\n", " ").splitlines()]
    wanted = [re.sub(r"^(-e|--editable)[ =]", "", line) for line in lines if line and not line.startswith("#")]
    options = [line for line in wanted if line.startswith("-")]
    hashed = [line for line in wanted if "--hash=" in line]
    return options, hashed, [line for line in wanted if line not in hashed and line not in options]


def main(tool: str, target: str) -> int:
    if tool == "uv" and (unknown := stale_uv(_toml("pyproject.toml"), _toml("uv.lock"))):
        raise SystemExit(f"uv.lock is older than pyproject.toml: it lacks {', '.join(unknown)}; run `uv lock`")
    requirements = exported(tool)
    if tool == "pdm":
        requirements = with_hashes(requirements, _toml("pdm.lock"))
    options, hashed, others = sorted_out(requirements)
    for wanted, words in ((hashed, ["--require-hashes"]), (others, [])):
        if wanted and (code := install([*options, *wanted], words, target)):
            return code
    return 0


def _toml(name: str) -> dict:
    with Path(name).open("rb") as file:
        return tomllib.load(file)


def install(lines: list[str], words: list[str], target: str) -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        return subprocess.call([sys.executable, *INSTALL, *words, "--target", target, "--requirement", file.name])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
