"""What the stories share: the to-do list in each language and process model, at a base URL."""

from __future__ import annotations

from collections.abc import Iterator

import local_apps
import pytest

LANGUAGES = ("express", "flask")
MODELS = ("resident", "ephemeral")
LOCAL = [f"local-{language}-{model}" for language in LANGUAGES for model in MODELS]
SERVED = [
    pytest.param(f"fnctl-{language}-{model}", marks=pytest.mark.engine) for language in LANGUAGES for model in MODELS
]


@pytest.fixture(scope="session", params=[*LOCAL, *SERVED])
def todolist_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`http://HOST:PORT` of a to-do list, without Docker ("local") and served by fnctl.

    The latter needs the fixture `demo_port`: the port of a `fnctl run` of templates/demo.
    """
    where, language, model = request.param.split("-")
    if where == "fnctl":
        host = f"todolist-{language}" if model == "resident" else language
        yield f"http://{host}.localhost:{request.getfixturevalue('demo_port')}"
        return
    serve = local_apps.resident if model == "resident" else local_apps.ephemeral
    with serve(language, tmp_path_factory.mktemp(request.param)) as address:
        yield address
