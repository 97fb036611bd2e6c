"""What the stories share: the to-do list in each language and process model, at a base URL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import local_apps
from tests.support import homes
from tests.support.ports import free_port

LANGUAGES = ("express", "flask")
MODELS = ("resident", "ephemeral")
LOCAL = [f"local-{language}-{model}" for language in LANGUAGES for model in MODELS]
SERVED = [
    pytest.param(f"fnctl-{language}-{model}", marks=pytest.mark.engine) for language in LANGUAGES for model in MODELS
]


@pytest.fixture(scope="session")
def demo_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a `fnctl run` of the demo, made by `fnctl init`. Its state is in a folder of its own."""
    place = tmp_path_factory.mktemp("demo")
    environment = {
        **os.environ,
        "FNCTL_HOME": str(homes.made(place / "home")),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    fnctl = [sys.executable, "-m", "fnctl.cli.main"]
    project = place / "project"
    subprocess.run([*fnctl, "init", str(project), "--template", "demo"], env=environment, check=True, timeout=60)
    port = free_port()
    serve = [*fnctl, "run", "--warm", "2", "--port", str(port), "--detach"]
    subprocess.run(serve, cwd=project, env=environment, check=True, timeout=1800)  # may have to make images
    yield port
    subprocess.run([*fnctl, "stop"], cwd=project, env=environment, check=True, timeout=120)


@pytest.fixture(scope="session")
def express_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Express template with its packages, outside of Docker."""
    return local_apps.installed_express(tmp_path_factory.mktemp("express"))


@pytest.fixture(scope="session")
def flask_app(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The Flask template, and the Python that has its requirements and pytest."""
    return local_apps.installed_flask(tmp_path_factory.mktemp("flask"))


@pytest.fixture(scope="session", params=[*LOCAL, *SERVED])
def todolist_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`http://HOST:PORT` of a to-do list, without Docker ("local") and served by fnctl."""
    where, language, model = request.param.split("-")
    if where == "fnctl":
        host = f"todolist-{language}" if model == "resident" else language
        yield f"http://{host}.localhost:{request.getfixturevalue('demo_port')}"
        return
    if model == "ephemeral":
        served = local_apps.ephemeral(language, tmp_path_factory.mktemp(request.param))
    elif language == "express":
        served = local_apps.resident(request.getfixturevalue("express_app"))
    else:
        served = local_apps.resident(*request.getfixturevalue("flask_app"))
    with served as address:
        yield address
