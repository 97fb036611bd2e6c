"""The image of a function, as an archive: what is in it, and that the same bundle gives the same bytes."""

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

from fnctl import catalog
from fnctl.builder import archive, bundle, store
from fnctl.builder.archive import Content
from fnctl.model import Bundle, Contract, Function, Model

SPEC = catalog.runtimes()["node24"]
BASE = ["sha256:" + "1" * 64, "sha256:" + "2" * 64]


def content(root: Path, **environment: str) -> Content:
    digest = bundle.digest(store.index(root))
    function = Function("hello", Path("/src"), "node24", "index.js", environment=tuple(environment.items()))
    made = Bundle("hello", digest, root, "node24", "index.js", 1, 1)
    return Content(function, made, SPEC, "fnctl/sandbox:abc", "amd64", 0, 0)


def folder(place: Path, mtime: int, page: str = "page") -> Path:
    (place / "lib").mkdir(parents=True)
    for name, text in {"index.js": "main", "lib/page.html": page, "run.sh": "#!"}.items():
        (place / name).write_text(text)
        os.utime(place / name, (mtime, mtime))
    (place / "run.sh").chmod(0o755)
    (place / "current").symlink_to("lib/page.html")
    return place


def whole(root: Path) -> bytes:
    made, layer, out = content(root), io.BytesIO(), io.BytesIO()
    diff_id = archive.write_layer(root, layer, made.epoch)
    layer.seek(0)
    size = len(layer.getvalue())
    archive.write_archive(
        out, archive.config(made, BASE, diff_id), layer, size, ["fnctl/p/hello:1", "fnctl/p/hello:latest"]
    )
    return out.getvalue()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def layer_of(root: Path) -> bytes:
    out = io.BytesIO()
    archive.write_layer(root, out, 0)
    return out.getvalue()


def test_the_same_bundle_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one", 10**9), folder(tmp_path / "other", 17 * 10**8)
    assert whole(one) == whole(other)


def test_the_layer_holds_the_code_at_its_place_owned_by_root(tmp_path: Path) -> None:
    found = members(layer_of(folder(tmp_path / "p", 10**9)))
    assert list(found)[:3] == ["fn", "fn/app", "fn/app/lib"]
    assert {(member.uid, member.gid, member.uname) for member in found.values()} == {(0, 0, "")}
    assert found["fn/app/run.sh"].mode == 0o755
    assert found["fn/app/index.js"].mode == 0o644
    assert found["fn/app/current"].linkname == "lib/page.html"


def test_a_page_of_the_same_size_has_another_time_in_another_version(tmp_path: Path) -> None:
    """Servers make ETags of time and size: the same ones would keep an old page in browsers."""
    one = members(layer_of(folder(tmp_path / "one", 0, "page")))["fn/app/lib/page.html"]
    other = members(layer_of(folder(tmp_path / "other", 0, "PAGE")))["fn/app/lib/page.html"]
    assert one.size == other.size
    assert one.mtime != other.mtime


def test_derived_files_are_not_shipped(tmp_path: Path) -> None:
    root = folder(tmp_path / "p", 0)
    before = layer_of(root)
    (root / bundle.DERIVED).mkdir(parents=True)
    (root / bundle.DERIVED / "x").write_text("x")
    assert layer_of(root) == before


def test_the_archive_names_every_layer_and_carries_the_last(tmp_path: Path) -> None:
    data = whole(folder(tmp_path / "p", 0))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        manifest = json.loads(tar.extractfile("manifest.json").read())[0]  # type: ignore[union-attr]
        config = json.loads(tar.extractfile(manifest["Config"]).read())  # type: ignore[union-attr]
    assert manifest["RepoTags"] == ["fnctl/p/hello:1", "fnctl/p/hello:latest"]
    assert config["rootfs"]["diff_ids"][:2] == BASE
    assert len(config["history"]) == len(manifest["Layers"]) == 3
    assert [name for name in members(data) if name.endswith("layer.tar")] == manifest["Layers"][2:]


def test_the_config_starts_the_agent_with_the_function_and_holds_no_value_of_its_environment(tmp_path: Path) -> None:
    made = content(folder(tmp_path / "p", 0), TOKEN="canary")
    config = archive.config(made, BASE, "sha256:" + "3" * 64)
    run = config["config"]
    assert run["Entrypoint"] == [*SPEC.agent, "--serve"]
    assert run["User"] == "65532:65532"
    environment = dict(pair.split("=", 1) for pair in run["Env"])
    assert json.loads(environment["FNCTL_LOAD"])["handler"] == "index.js"
    assert run["Labels"]["dev.fnctl.digest"] == made.bundle.digest
    assert run["Labels"]["org.opencontainers.image.created"] == "1970-01-01T00:00:00Z"
    assert "canary" not in json.dumps(config) + "\n".join(archive.dockerfile(made))


def test_an_ephemeral_function_is_started_by_what_gives_each_call_a_process(tmp_path: Path) -> None:
    made = content(folder(tmp_path / "p", 0))
    ephemeral = replace(made, function=replace(made.function, model=Model.EPHEMERAL, timeout_s=2.5))
    assert ephemeral.entrypoint() == ["/usr/bin/perl", "/opt/fnctl/single/main.pl", *SPEC.agent, "--serve"]
    load = ephemeral.load_message()
    assert (load["address"], load["timeout_ms"], load["max_duration_ms"]) == ("127.0.0.1", 2500, 2500)
    assert "address" not in made.load_message()


def test_the_config_says_what_the_code_was_written_for(tmp_path: Path) -> None:
    made = content(folder(tmp_path / "p", 0))
    function = replace(made.function, contract=Contract.FC_EVENT, initializer="index.start")
    load = replace(made, function=function).load_message()
    assert (load["contract"], load["initializer"]) == ("fc-event", "index.start")
    assert not {"contract", "initializer"} & made.load_message().keys()
