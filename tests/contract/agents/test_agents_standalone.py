"""Shipped images: the agent under plain `docker run`, with no host, on a port of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.agents.languages import LANGUAGES, Language
from tests.contract.agents.shipped import standing
from tests.support.container import Container

pytestmark = [pytest.mark.engine, pytest.mark.timeout(60, func_only=True)]


@pytest.fixture(params=LANGUAGES, ids=str)
def language(request: pytest.FixtureRequest) -> Language:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def serving(
    request: pytest.FixtureRequest, language: Language, sandbox_image: str, tmp_path: Path
) -> Iterator[Container]:
    for name, text in language.files.items():
        (tmp_path / name).write_text(text)
    handler = request.param.replace("PROGRAM", language.program)
    with standing(sandbox_image, tmp_path, language.runtime, handler) as container:
        yield container


@pytest.mark.parametrize("serving", ["PROGRAM"], indirect=True)
def test_a_web_app_listens_on_the_port(serving: Container) -> None:
    assert serving.request("GET", "/head") == (418, b"teapot")
    assert len(serving.request("GET", "/large")[1]) == 5_000_000
    serving.says("listening")
    assert serving.stop() == 0


@pytest.mark.parametrize("serving", ["events.mirror"], indirect=True)
def test_a_handler_is_invoked_over_http(serving: Container) -> None:
    status, body = serving.request("POST", "/a?b=1", b'{"x":1}')
    assert status == 200
    assert json.loads(body)["event"]["json"] == {"x": 1}
    assert serving.stop() == 0


@pytest.mark.parametrize("serving", ["events.logs"], indirect=True)
def test_lines_go_out_without_marks(serving: Container) -> None:
    serving.request("GET", "/x")
    serving.says("three")
    serving.stop()  # nothing comes after it
    assert sorted(serving.logs().splitlines()) == ["one /x", "three", "two"]


@pytest.mark.parametrize("serving", ["events.missing"], indirect=True)
def test_a_load_error_ends_the_container(serving: Container) -> None:
    assert serving.wait() == 1
    serving.says("missing")


CONTRACTS = [
    ("node24", "index.js", "exports.handler = async (event) => ({ at: event.rawPath });\n", "lambda"),
    ("node24", "index.js", "let n;\nexports.start = (context, done) => { n = '/x'; done(); };\n"
     "exports.handler = (event, context, callback) => callback(null, { at: n });\n", "fc-event"),
]  # fmt: skip


@pytest.mark.parametrize(("runtime", "file", "text", "contract"), CONTRACTS, ids=["lambda", "fc-event"])
def test_a_contract_is_honoured(
    sandbox_image: str, tmp_path: Path, runtime: str, file: str, text: str, contract: str
) -> None:
    (tmp_path / file).write_text(text)
    fields = {"initializer": "index.start"} if contract == "fc-event" else {}
    with standing(sandbox_image, tmp_path, runtime, "index.handler", contract=contract, **fields) as container:
        status, body = container.request("GET", "/x")
        assert (status, json.loads(body)) == (200, {"at": "/x"})
        assert container.stop() == 0


def test_an_app_that_is_only_exported_is_served(sandbox_image: str, tmp_path: Path) -> None:
    (tmp_path / "index.mjs").write_text("export default (req, res) => res.end(req.url);\n")
    with standing(sandbox_image, tmp_path, "node24", "index.mjs") as container:
        assert container.request("GET", "/x") == (200, b"/x")
        assert container.stop() == 0
