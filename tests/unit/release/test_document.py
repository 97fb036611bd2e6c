"""What a release says of functions, and what becomes of that on another machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import config
from fnctl.config import unresolved
from fnctl.errors import ConfigError, ReleaseError
from fnctl.model import AsyncRule, Broker, BrokerTrigger, Destination, Function, Queue, Secret, Service
from fnctl.release import document
from fnctl.release.document import Document

YAML = """
name: shop
secrets:
  db: {file: secrets/db.txt}
  api: {environment: API_KEY}
services:
  store: {type: data}
functions:
  web:
    path: web
    runtime: node24
    handler: index.js
    environment: {MODE: "${MODE:-fast}", PLAIN: "1.10", PRICE: "5$$"}
    env_file: extra.env
    secrets: [db, api]
    network: services
    timeout: 3s
    model: ephemeral
    scale: {max: 4}
    async: {retries: 7, rate: 5/s, on_failure: {queue: lost}}
    triggers:
      - http: {path: "/items/{id}", methods: [GET, DELETE]}
      - timer: {cron: "0 3 * * *", timezone: Europe/Berlin, overlap: replace}
      - event: {filter: "type = 'x'"}
      - queue: {name: jobs, window: 2s}
      - mqtt: {url: "mqtt://broker.example", topic: a/+}
  job:
    path: web
    runtime: node24
    command: [node, index.js]
  work:
    path: web
    runtime: node24
    handler: work.handler
    contract: lambda
    durable: {timeout: 3d}
queues:
  lost: {receives: 9}
workflows:
  order:
    document: {dsl: "1.0.3", namespace: shop, name: order, version: "1.0.0"}
    use: {secrets: [api]}
    do:
      - pay: {call: web, with: {amount: 7}}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.js").write_text("require('http').createServer().listen(process.env.PORT)")
    (tmp_path / "web" / "work.js").write_text("exports.handler = async () => ({})")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "db.txt").write_text("hunter2")
    (tmp_path / "extra.env").write_text("SMTP=mail.example.org\n")
    (tmp_path / "fnctl.yaml").write_text(YAML)
    return tmp_path


def shipped(shop: Path) -> tuple[Document, dict[str, object]]:
    """The document, and what of it arrives."""
    project = config.load(shop, environ={"API_KEY": "k"})
    written = unresolved.environments(project)
    functions = tuple(
        document.shipped(each, f"sha256:{'1' * 64}", 10, 1, written.get(each.name, {})) for each in project.functions
    )
    made = Document(project.name, "0.1.0", functions, project.services, ("node24",), project.queues, project.workflows)
    return made, json.loads(json.dumps(document.dump(made, project.root)))


def run(said: dict[str, object], folder: Path, **environ: str) -> dict[str, Function]:
    return {each.name: each for each in document.placed(document.load(said), folder, environ)}


def test_functions_arrive_as_they_were_but_for_what_is_of_the_machine(shop: Path, tmp_path: Path) -> None:
    _, said = shipped(shop)
    there = tmp_path / "server"
    before = {each.name: each for each in config.load(shop, environ={}).functions}
    after = run(said, there, SMTP="mail.example.org")
    for name, function in after.items():
        same = {"path": there, "private": (), "secrets": (), "environment": ()}
        assert replace(function, **same) == replace(before[name], **same)  # type: ignore[arg-type]
    assert dict(after["web"].environment) == {
        "MODE": "fast", "PLAIN": "1.10", "PRICE": "5$", "SMTP": "mail.example.org",
    }  # fmt: skip
    assert document.load(said).services == (Service("store", "data"),)
    assert set(document.load(said).queues) == {Queue("jobs"), Queue("lost", receives=9)}


def test_workflows_arrive_with_what_names_their_secrets(shop: Path, tmp_path: Path) -> None:
    made, said = shipped(shop)
    (before,), (after,) = made.workflows, document.placed_workflows(document.load(said), tmp_path / "server")
    assert before.data["do"][0]["pay"]["call"] == "web"
    assert (after.name, after.data, after.declared) == (before.name, before.data, before.declared)
    assert [(each.name, each.variable) for each in after.secrets] == [("api", "API_KEY")]


def test_variables_are_filled_in_where_it_runs(shop: Path, tmp_path: Path) -> None:
    _, said = shipped(shop)
    assert dict(run(said, tmp_path, SMTP="x", MODE="slow")["web"].environment)["MODE"] == "slow"


def test_secrets_are_looked_for_where_it_runs(shop: Path, tmp_path: Path) -> None:
    _, said = shipped(shop)
    assert "hunter2" not in json.dumps(said)
    assert "mail.example.org" not in json.dumps(said)
    found = {each.name: each for each in run(said, tmp_path / "srv", SMTP="x")["web"].secrets}
    assert found["db"].file == tmp_path / "srv" / "secrets" / "db.txt"
    assert found["api"].variable == "API_KEY"


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    functions = tuple(
        document.shipped(
            Function(name, tmp_path, "node24", "a.b", environment=(("A", "1"), ("B", "2"))), "d", 1, 1, {"A": "${HOST}"}
        )
        for name in ("one", "two")
    )
    made = Document(None, "0.1.0", functions, (), ())
    with pytest.raises(ConfigError) as told:
        document.placed(made, tmp_path, {})
    for word in ("HOST (of one)", "B (of one)", "HOST (of two)", "B (of two)"):
        assert word in told.value.message


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"protocol": 9}, {"functions": {"web": {}}}, {"functions": []}, {"runtimes": 5}]
)
def test_a_document_of_another_fnctl_is_refused(shop: Path, change: dict[str, object]) -> None:
    _, said = shipped(shop)
    with pytest.raises(ReleaseError) as told:
        document.load({**said, **change})
    assert told.value.hint


def test_the_secret_of_a_webhook_is_looked_for_where_it_runs(tmp_path: Path) -> None:
    key = Secret("key", tmp_path / "key.txt", None, tmp_path / ".env", "fnctl.yaml:1")
    rule = AsyncRule(on_failure=Destination(url="https://example.org/", secret=key))
    function = Function("one", tmp_path, "node24", "a.b", deferred=rule)
    made = Document(None, "0.1.0", (document.shipped(function, "d", 1, 1, {}),), (), ())
    there = run(json.loads(json.dumps(document.dump(made, tmp_path))), tmp_path / "srv")["one"].deferred.on_failure
    assert there is not None
    assert there.secret is not None
    assert (there.url, there.secret.file) == ("https://example.org/", tmp_path / "srv" / "key.txt")


def test_a_password_of_a_broker_is_not_shipped(tmp_path: Path) -> None:
    trigger = BrokerTrigger(Broker.REDIS, "redis://user:hunter2@example.org", "jobs")
    function = Function("one", tmp_path, "node24", "a.b", triggers=(trigger,))
    made = Document(None, "0.1.0", (document.shipped(function, "d", 1, 1, {}),), (), ())
    with pytest.raises(ReleaseError, match="has a password in it"):
        document.dump(made, tmp_path)
