"""A language that comes as a folder under layers/ is told by the rules in its runtime.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl import catalog, config
from fnctl.config.detected import detect
from fnctl.errors import ConfigError, NotFound
from fnctl.model import Contract, RuntimeSpec
from tests.unit.config.detect.folders import RUNTIMES, write

GO = Path(__file__).parents[3] / "fixtures" / "go"
YAML = r"""
language: go
contracts: [web, openfaas]
code:
  suffixes: [.go]
  concurrency: 200
detect:
  - {file: "*.go", beside: [go.mod], text: '^func Handle\(', handler: "{stem}.Handle", contract: openfaas}
  - {file: "*.go", beside: [go.mod], text: '\.ListenAndServe\(', handler: "{file}", contract: web}
runtimes:
  go1.26: {version: "1.26.1", agent: [/opt/fnctl/go/agent]}
"""
SERVER = 'package main\n\nfunc main() {\n\thttp.ListenAndServe(":8080", nil)\n}\n'
HANDLER = "package function\n\nfunc Handle(w http.ResponseWriter, r *http.Request) {\n}\n"


@pytest.fixture
def runtimes(tmp_path: Path) -> dict[str, RuntimeSpec]:
    write(tmp_path / "layers", {"go/runtime.yaml": YAML})
    return {**RUNTIMES, **catalog.runtimes(tmp_path / "layers")}


@pytest.mark.parametrize(
    ("files", "handler", "contract"),
    [
        ({"main.go": SERVER, "go.mod": "module shop\n"}, "main.go", Contract.WEB),
        ({"handler.go": HANDLER, "go.mod": "module shop\n"}, "handler.Handle", Contract.OPENFAAS),
    ],
)
def test_a_folder_of_that_language(
    tmp_path: Path, runtimes: dict[str, RuntimeSpec], files: dict[str, str], handler: str, contract: Contract
) -> None:
    folder = write(tmp_path / "shop", files)
    (function,) = config.load(folder, environ={}, runtimes=runtimes).functions
    assert (function.runtime, function.handler, function.contract) == ("go1.26", handler, contract)
    assert function.concurrency == 200


@pytest.mark.parametrize("files", [{"main.go": SERVER}, {"main.go": "package main\n", "go.mod": ""}, {"go.mod": ""}])
def test_other_folders_are_not(tmp_path: Path, runtimes: dict[str, RuntimeSpec], files: dict[str, str]) -> None:
    with pytest.raises(NotFound):
        config.load(write(tmp_path / "shop", files), environ={}, runtimes=runtimes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("contract: web", "contract: webb"), "'webb' is not a valid Contract"),
        (("file: \"*.go\", ", ""), "'file' is missing"),
        ((r"'\.ListenAndServe\('", r"'\.ListenAndServe('"), "missing ), unterminated subpattern"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_used_names_its_file(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    write(tmp_path / "layers", {"go/runtime.yaml": YAML.replace(*change)})
    with pytest.raises(ConfigError, match=r"go/runtime\.yaml") as caught:
        catalog.runtimes(tmp_path / "layers")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("folder", "handler"), [("server", "main.go"), ("handlers", "function.Handle"), ("vendored", "function.Handle")]
)
def test_the_go_that_is_shipped(folder: str, handler: str) -> None:
    """Beside the fixtures' own fnctl.yaml, which `detect` does not look at."""
    ((finding, runtime),) = detect(GO / folder, catalog.runtimes()).functions.values()
    assert (finding.handler, finding.contract, runtime[:2]) == (handler, Contract.WEB, "go")
