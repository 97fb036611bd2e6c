"""Pinned archives: from a registry that is a real HTTP server, into a folder, and never what is not pinned."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest

from fnctl.builder import fetch
from fnctl.catalog import Download
from fnctl.errors import BuildError


def tarball(files: dict[str, bytes], executable: frozenset[str] = frozenset()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o4755 if name in executable else 0o600
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def pin(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


class Registry:
    """An HTTP server with these pages; `asked` are the paths of the requests so far."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                body = registry.pages.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    made = Registry()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("npm_config_registry", f"{made.url}/npm/")
    monkeypatch.setenv("PIP_INDEX_URL", f"{made.url}/simple")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_an_npm_package_is_fetched_once_and_unpacked(registry: Registry, tmp_path: Path) -> None:
    data = tarball(
        {"package/bin/node": b"elf", "package/share/man": b"x", "package/LICENSE": b"mit"},
        executable=frozenset({"package/bin/node"}),
    )
    registry.pages["/npm/@scope/node/-/node-1.2.3.tgz"] = data
    item = Download("node", "npm:@scope/node@1.2.3", pin(data), strip=1, include=("bin/node", "LICENSE"))
    for _ in range(2):
        archive = fetch.download(item, tmp_path / "cache")
    assert registry.asked == ["/npm/@scope/node/-/node-1.2.3.tgz"]
    fetch.unpack(archive, item, tmp_path / "out")
    found = {str(file.relative_to(tmp_path / "out")): file.stat().st_mode for file in (tmp_path / "out").rglob("*")}
    assert {name: mode & 0o7777 for name, mode in found.items() if "." not in name and name != "bin"} == {
        "bin/node": 0o755,  # the setuid bit is dropped
        "LICENSE": 0o644,
    }


def test_a_wheel_is_found_in_the_index_page(registry: Registry, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as wheel:
        wheel.writestr("pip/__main__.py", "main")
    data = out.getvalue()
    registry.pages["/simple/pip/"] = b'<a href="../../files/pip-1.whl#sha256=00">pip-1.whl</a><a>no link</a>'
    registry.pages["/files/pip-1.whl"] = data
    item = Download("pip", "pypi:pip/pip-1.whl", f"sha256:{hashlib.sha256(data).hexdigest()}")
    fetch.unpack(fetch.download(item, tmp_path), item, tmp_path / "out")
    assert (tmp_path / "out/pip/__main__.py").read_text() == "main"


def test_a_file_that_the_index_does_not_list_is_told(registry: Registry, tmp_path: Path) -> None:
    registry.pages["/simple/pip/"] = b'<a href="pip-1.whl">pip-1.whl</a>'
    with pytest.raises(BuildError, match=r"does not list pip-2\.whl"):
        fetch.download(Download("pip", "pypi:pip/pip-2.whl", "sha256:00"), tmp_path)


def test_other_bytes_than_pinned_are_refused_and_not_kept(registry: Registry, tmp_path: Path) -> None:
    registry.pages["/npm/a/-/a-1.tgz"] = tarball({"package/evil": b"x"})
    with pytest.raises(BuildError, match="npm:a@1: the download does not match its digest"):
        fetch.download(Download("a", "npm:a@1", pin(tarball({"package/good": b"x"}))), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_cache_is_fetched_again(registry: Registry, tmp_path: Path) -> None:
    data = tarball({"package/a": b"a"})
    registry.pages["/npm/a/-/a-1.tgz"] = data
    item = Download("a", "npm:a@1", pin(data))
    fetch.download(item, tmp_path).write_bytes(data[:-1] + b"\0\0")
    assert fetch.download(item, tmp_path).read_bytes() == data


def test_a_registry_that_has_it_not_is_an_error_with_its_answer(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="npm:none@1: could not be downloaded: HTTP Error 404"):
        fetch.download(Download("none", "npm:none@1", pin(b"")), tmp_path)


@pytest.mark.parametrize("name", ["../evil", "package/../../evil", "/etc/evil"])
def test_members_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tarball({name: b"x"}))
    with pytest.raises(BuildError, match="is outside its folder"):
        fetch.unpack(archive, Download("a", "npm:a@1", "sha256:00"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_are_not_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        link = tarfile.TarInfo("package/out")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
        through = tarfile.TarInfo("package/out/passwd")
        tar.addfile(through, io.BytesIO())
    fetch.unpack(archive, Download("a", "npm:a@1", "sha256:00", strip=1), tmp_path / "folder")
    assert (tmp_path / "folder/out").is_dir()
    assert not (tmp_path / "folder/out").is_symlink()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("package/bin/node", "bin/node"),
        ("package/bin/node.map", None),
        ("package/docs/a.md", None),
        ("package", None),
    ],
)
def test_which_members_are_kept(name: str, kept: str | None) -> None:
    item = Download("a", "npm:a@1", "sha256:00", strip=1, include=("bin/node", "docs"), exclude=("docs",))
    assert fetch.kept_path(name, item) == (None if kept is None else PurePosixPath(kept))


def test_the_npm_registry_is_the_environments_then_the_users_then_npms_own(tmp_path: Path) -> None:
    npmrc = tmp_path / ".npmrc"
    npmrc.write_text("fund=false\nregistry = https://mirror.example/npm/\n")
    assert fetch.npm_registry({"NPM_CONFIG_REGISTRY": "https://env.example"}, npmrc) == "https://env.example"
    assert fetch.npm_registry({}, npmrc) == "https://mirror.example/npm/"
    assert fetch.npm_registry({}, tmp_path / "none") == fetch.NPM_REGISTRY
