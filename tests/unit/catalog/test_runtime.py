"""runtime.yaml: what is read from it, and what is said where it cannot be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.catalog import Download, Requirements
from fnctl.errors import ConfigError
from fnctl.model import Function, InstallRule

TWO_NAMES = """
language: go
fetch:
  tool: {source: "https://example.org/tool.tgz", integrity: "sha256:00", strip: 1, exclude: [docs]}
install:
  - files: [go.mod]
    run: ["/opt/fnctl/{runtime}/bin/go", build]
    environment: {GOROOT: "/opt/fnctl/{runtime}"}
    result: bin
runtimes:
  go1.26:
    default: true
    version: 1.26.1
    agent: [/opt/fnctl/go/agent]
    fetch:
      go1.26:
        amd64: {source: "https://example.org/amd64.tgz", integrity: "sha256:01"}
        arm64: {source: "https://example.org/arm64.tgz", integrity: "sha256:02"}
  go1.25:
    version: "1.25"
    agent: [/opt/fnctl/go/agent]
"""


def layer(root: Path, name: str, text: str) -> Path:
    (root / name).mkdir()
    (root / name / "runtime.yaml").write_text(text)
    return root / name


def test_one_folder_declares_several_runtimes(tmp_path: Path) -> None:
    layer(tmp_path, "go", TWO_NAMES)
    found = catalog.runtimes(tmp_path)
    assert set(found) == {"go1.26", "go1.25"}
    assert found["go1.25"].version == "1.25"
    assert found["go1.26"].install[0].run == ("/opt/fnctl/go1.26/bin/go", "build")
    assert found["go1.25"].install[0].environment == (("GOROOT", "/opt/fnctl/go1.25"),)


def test_fetches_are_shared_or_a_runtimes_own(tmp_path: Path) -> None:
    read = catalog.read_layer(layer(tmp_path, "go", TWO_NAMES))
    assert read.defaults == ("go1.26",)
    assert read.shared == (Download("tool", "https://example.org/tool.tgz", "sha256:00", 1, (), ("docs",)),)
    assert [item.architecture for item in read.own["go1.26"] if isinstance(item, Download)] == ["amd64", "arm64"]
    assert read.own["go1.25"] == ()


def test_a_folder_without_runtime_yaml_is_no_layer(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    assert catalog.layers(tmp_path) == []


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    layer(tmp_path, "go", TWO_NAMES)
    layer(tmp_path, "golang", TWO_NAMES)
    with pytest.raises(ConfigError, match=r"go1\.26 is declared twice: in .*/go and in .*/golang"):
        catalog.runtimes(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("runtimes: {a: {version: 1, agent: [x]}}", "'language' is missing"),
        ("language: a\nruntimes: {a: {agent: [x]}}", "'version' is missing"),
        ("language: a\nruntimes: []", "runtime.yaml: "),
        ("- a", "a mapping is expected, found list"),
        ("a: [", "not valid YAML"),
    ],
)
def test_what_cannot_be_used_is_told_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"go/runtime\.yaml") as caught:
        catalog.read_layer(layer(tmp_path, "go", text))
    assert said in caught.value.message


def test_every_pin_of_the_shipped_runtimes_is_whole() -> None:
    for read in catalog.layers():
        for item in [*read.shared, *(one for own in read.own.values() for one in own)]:
            if isinstance(item, Requirements):
                assert "--hash=sha256:" in item.file.read_text()
            else:
                assert item.integrity.startswith(("sha256:", "sha512-"))


def test_node_is_pinned_to_one_version_on_every_architecture() -> None:
    for read in catalog.layers():
        for name, own in read.own.items():
            downloads = [item for item in own if isinstance(item, Download)]
            assert {item.architecture for item in downloads} in (set(), set(catalog.ARCHITECTURES))
            assert all(item.source.endswith(f"@{read.runtimes[name].version}") for item in downloads)


def test_a_node_template_has_no_timer_of_v8_that_each_fork_would_inherit_overdue() -> None:
    templates = [
        spec.template for read in catalog.layers() for spec in read.runtimes.values() if spec.language == "node"
    ]
    assert len(templates) >= 2
    for argv in templates:
        assert {"--single-threaded", "--no-memory-reducer"} <= set(argv)


def test_default_runtimes_are_one_a_language() -> None:
    languages = [spec.language for spec in catalog.default_runtimes()]
    assert sorted(languages) == ["node", "python"]


def test_what_an_install_carries_of_the_layer_is_part_of_what_it_is(tmp_path: Path) -> None:
    text = (
        "language: toy\ninstall: [{files: [toy.mod], run: [make], result: out, what: compiling, carries: [lib]}]\n"
        "runtimes: {toy1: {version: 1, agent: [toy]}}\n"
    )
    folder = layer(tmp_path, "toy", text)
    (folder / "lib").mkdir()
    (folder / "lib/a.toy").write_text("one")

    def rule() -> InstallRule:
        return catalog.runtimes(tmp_path)["toy1"].install[0]

    first = rule()
    assert first.what == "compiling"
    assert rule() == first
    (folder / "lib/a.toy").write_text("two")
    assert rule().carries != first.carries
    (folder / "beside.toy").write_text("not carried")
    (folder / "lib/a.toy").write_text("one")
    assert rule() == first


@pytest.mark.parametrize(
    ("runtime", "environment", "read"),
    [
        ("node24", {"NODE_OPTIONS": "--x", "NODE_ENV": "production", "PORT": "1"}, {"NODE_OPTIONS": "--x"}),
        ("node24", {"NODE_ENV": "production", "LANG": "C.UTF-8", "TZ": "Asia/Tokyo"}, {}),
        ("python3.13", {"PYTHONHASHSEED": "0", "PYTHONPATH": "/x"}, {"PYTHONHASHSEED": "0"}),
        ("python3.13", {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}, {}),
        (
            "python3.13",
            {"LD_PRELOAD": "/x.so", "LC_ALL": "de_DE.UTF-8"},
            {"LD_PRELOAD": "/x.so", "LC_ALL": "de_DE.UTF-8"},
        ),
        ("php8.4", {"PHP_INI_SCAN_DIR": "/fn/app/ini"}, {"PHP_INI_SCAN_DIR": ":/fn/app/ini"}),
        ("php8.4", {"PHP_INI_SCAN_DIR": ":/fn/app/ini"}, {"PHP_INI_SCAN_DIR": ":/fn/app/ini"}),
        ("go1.24", {"GODEBUG": "http2client=0"}, {"GODEBUG": "http2client=0"}),
    ],
)
def test_what_an_interpreter_reads_as_it_starts_is_there_by_then(
    runtime: str, environment: dict[str, str], read: dict[str, str]
) -> None:
    known = catalog.runtimes()
    function = Function("f", Path("/f"), runtime, "app", environment=tuple(environment.items()))
    spec = catalog.runtime_of(function, known)
    own = known[runtime]
    assert dict(spec.environment) == {**dict(own.environment), **read}
    assert spec.alone is bool(read) and (spec.tier == own.tier) is not bool(read)
    assert catalog.runtime_of(replace(function, command=("x",)), known).alone is False
    if runtime == "python3.13":
        assert ("-E" in spec.agent) is not bool(read)
