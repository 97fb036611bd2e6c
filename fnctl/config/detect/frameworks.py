"""Frameworks with a server of their own, which is started by a command or stands where a build put it. Reads only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fnctl.config.detect.finding import Evidence, Finding
from fnctl.config.detect.source import Source, first_source, read_source
from fnctl.model import Contract

NEXT_FOLDERS = ("app", "pages", "src/app", "src/pages")
NEXT_STANDALONE = ".next/standalone/server.js"  # `output: "standalone"`
NEST_BUILT = ("dist/main.js", "dist/src/main.js")
PAGES = ("streamlit_app.py", "app.py", "main.py", "Home.py", "home.py", "Hello.py", "index.py", "run.py", "server.py")
_STREAMLIT_RUN = re.compile(r"\bstreamlit\s+run\s+(?:-\S+\s+)*([\w./-]+\.py)")
_IMPORTS = r"^\s*(?:import|from)\s+{}\b"
# Both look for updates and count their users where nobody says no.
_QUIET = {"streamlit": ("--server.headless=true", "--browser.gatherUsageStats=false", "--server.fileWatcherType=none")}

Dependencies = Mapping[str, Evidence]


def next_js(folder: Path, start: str, dependencies: Dependencies) -> Finding | None:
    """Next.js serves what `next build` left in .next."""
    depends = dependencies.get("next")
    if depends is None or not (
        re.search(r"\bnext\s+start\b", start) or any((folder / each).is_dir() for each in NEXT_FOLDERS)
    ):
        return None
    if (folder / NEXT_STANDALONE).is_file():
        said = Evidence(NEXT_STANDALONE, None, "", f"handler {NEXT_STANDALONE}: what `next build` made")
        return Finding("node", NEXT_STANDALONE, Contract.WEB, (depends, said))
    command = ("next", "start", "--port", "$PORT")
    return _command("node", command, Evidence(depends.file, depends.line, depends.says, _so(command, "Next.js")))


def nest_js(folder: Path, started: str | None, dependencies: Dependencies) -> Finding | None:
    """NestJS runs what `nest build` compiled: its decorators are no JavaScript. That it is not there is told with the
    handler."""
    depends = dependencies.get("@nestjs/core")
    if depends is None:
        return None
    names = [name for name in (started, *NEST_BUILT) if name and (folder / name).is_file()]
    handler = names[0] if names else NEST_BUILT[0]
    said = Evidence(
        depends.file, depends.line, depends.says, f"handler {handler}: what `nest build` makes; contract web"
    )
    return Finding("node", handler, Contract.WEB, (said,))


def egg_js(folder: Path, dependencies: Dependencies) -> Finding | None:
    """Egg has no file that starts it: its own `app.js` is a hook. One worker: further instances share the load.

    Its `start` script, which most often goes to the background, is left alone.
    """
    depends = dependencies.get("egg-scripts")
    if depends is None or "egg" not in dependencies:
        return None
    command = ("egg-scripts", "start", "--workers=1", "--port=$PORT")
    return _command("node", command, Evidence(depends.file, depends.line, depends.says, _so(command, "Egg")))


def streamlit(folder: Path, dependencies: Dependencies) -> Finding | None:
    source = _page(folder, "streamlit", dependencies)
    if source is None:
        return None
    command = ("streamlit", "run", source.name, "--server.port=$PORT", *_QUIET["streamlit"])
    return _command("python", command, source.evidence(_line(source, "streamlit"), _so(command, "Streamlit")))


def gradio(folder: Path, dependencies: Dependencies) -> Finding | None:
    """A program that launches by itself. Where one only mounts its pages, that app is what is served."""
    source = _page(folder, "gradio", dependencies, lambda each: re.search(r"\.launch\s*\(", each.text) is not None)
    if source is None:
        return None
    script = (
        f"GRADIO_SERVER_PORT=$PORT GRADIO_ANALYTICS_ENABLED=False GRADIO_TEMP_DIR=/tmp/gradio exec python {source.name}"
    )
    command = ("sh", "-c", script)
    return _command("python", command, source.evidence(_line(source, "gradio"), _so(command, "Gradio")))


def _page(
    folder: Path, package: str, dependencies: Dependencies, fits: Callable[[Source], bool] = lambda source: True
) -> Source | None:
    """The program of a folder that depends on the package: the one that a Procfile or script starts, else by name."""
    if package not in dependencies:
        return None
    return next((source for source in _pages(folder) if _line(source, package) and fits(source)), None)


def _pages(folder: Path) -> Iterator[Source]:
    for name in ("Procfile", "Makefile", "Dockerfile", "run.sh", "start.sh"):
        source = read_source(folder, name)
        named = _STREAMLIT_RUN.search(source.text) if source else None
        if named and (found := read_source(folder, named[1])):
            yield found
    yield from (found for name in PAGES if (found := first_source(folder, [name])))
    yield from (found for path in sorted(folder.glob("*.py")) if (found := read_source(folder, path.name)))


def _line(source: Source, package: str) -> int:
    """Where it imports the package; 0 where it does not."""
    found = re.search(_IMPORTS.format(package), source.text, re.MULTILINE)
    return source.line_at(found.end()) if found else 0


def _so(command: tuple[str, ...], what: str) -> str:
    return f"command {' '.join(command)}: {what}"


def _command(language: str, command: tuple[str, ...], said: Evidence) -> Finding:
    return Finding(language, "", Contract.COMMAND, (said,), command=command)
