"""Pinned archives from package registries into folders: resolve, download, verify, unpack; never unverified.

The host does this, not a container, so that its own proxy, certificate authority and registry settings hold, and none
of them ends in an image.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urldefrag, urljoin

from fnctl.catalog import Download, Requirements
from fnctl.errors import BuildError

NPM_REGISTRY = "https://registry.npmjs.org/"
PYPI_INDEX = "https://pypi.org/simple/"
TIMEOUT_S = 60.0  # of one read, not of the whole
_CHUNK = 1 << 20


def download(item: Download, cache: Path) -> Path:
    """The verified archive in `cache`, from there where it is. BuildError says which source, and what was found."""
    kept = cache / _key(item)
    if kept.exists() and matches(kept, item.integrity):
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cache, prefix=".download-", delete=False) as partial:
        path = Path(partial.name)
        try:
            _receive(item, partial)
            partial.flush()
            if not matches(path, item.integrity):
                raise BuildError(
                    f"{item.source}: the download does not match its digest ({item.integrity})",
                    hint="a proxy or mirror may have changed the package; it was not used",
                )
            path.replace(kept)
        finally:
            path.unlink(missing_ok=True)
    return kept


def matches(file: Path, integrity: str) -> bool:
    """Does the file have this digest, `sha256:HEX` or `sha512-BASE64`?"""
    algorithm, _, expected = integrity.partition(":" if ":" in integrity else "-")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm)
    return expected in (found.hexdigest(), base64.b64encode(found.digest()).decode())


def _key(item: Download) -> str:
    suffix = ".zip" if item.source.endswith((".whl", ".zip")) else ".tgz"
    return hashlib.sha256(item.integrity.encode()).hexdigest()[:32] + suffix


def _receive(item: Download, into: IO[bytes]) -> None:
    try:
        with _open(resolve(item.source)) as response:
            shutil.copyfileobj(response, into, _CHUNK)
    except (OSError, ssl.SSLError) as error:  # URLError is an OSError
        raise BuildError(
            f"{item.source}: could not be downloaded: {error}",
            hint="HTTPS_PROXY, SSL_CERT_FILE, npm_config_registry and PIP_INDEX_URL are honoured; try again",
        ) from error


def _open(url: str) -> IO[bytes]:
    request = urllib.request.Request(url, headers={"User-Agent": "fnctl"})
    response: IO[bytes] = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    return response


def resolve(source: str) -> str:
    """The URL of a source, with the registries that the environment names, else the public ones."""
    kind, _, rest = source.partition(":")
    if kind == "npm":
        name, _, version = rest.rpartition("@")
        registry = npm_registry(os.environ, Path.home() / ".npmrc")
        return f"{registry.rstrip('/')}/{name}/-/{PurePosixPath(name).name}-{version}.tgz"
    if kind == "pypi":
        project, _, file = rest.partition("/")
        index = os.environ.get("PIP_INDEX_URL") or PYPI_INDEX
        return _in_index(f"{index.rstrip('/')}/{project}/", file)
    if kind == "https":
        return source
    raise BuildError(f"{source}: an npm:, pypi: or https: source is expected")


def npm_registry(environment: Mapping[str, str], npmrc: Path) -> str:
    """As npm looks for it: the environment (npm's own spelling is lower case), then the user's file, then npm's."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if registry := environment.get(name):
            return registry
    lines = npmrc.read_text("utf-8").splitlines() if npmrc.is_file() else []
    for key, _, value in (line.partition("=") for line in lines):
        if key.strip() == "registry" and value.strip():
            return value.strip()
    return NPM_REGISTRY


def _in_index(page: str, file: str) -> str:
    with _open(page) as response:
        links = _Links()
        links.feed(response.read().decode())
    for link in links.found:
        url = urldefrag(urljoin(page, link)).url
        if url.rpartition("/")[2] == file:
            return url
    raise BuildError(f"{page} does not list {file}", hint="does PIP_INDEX_URL name a full index?")


class _Links(HTMLParser):
    """The targets of all links of a page: what a simple package index is."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for key, value in attrs if key == "href" and value]


def unpack(archive: Path, item: Download, into: Path) -> None:
    """The wanted files of a verified archive below `into`. Only regular files: a link could lead out of the folder."""
    for name, executable, stream in _members(archive):
        relative = kept_path(name, item)
        if relative is None:
            continue
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        with stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, _CHUNK)
        target.chmod(0o755 if executable else 0o644)


def kept_path(name: str, item: Download) -> PurePosixPath | None:
    """Where a member goes, below the target folder; None: not wanted. BuildError for a path that would leave it."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise BuildError(f"{item.source}: contains the path {name!r}, which is outside its folder")
    path = PurePosixPath(*parts[item.strip :])
    if not path.parts or any(path.is_relative_to(out) for out in item.exclude):
        return None
    if item.include and not any(path.is_relative_to(wanted) for wanted in item.include):
        return None
    return path


def _members(archive: Path) -> Iterator[tuple[str, bool, IO[bytes]]]:
    """(name, executable?, contents) of the regular files of a tar or zip."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as wheel:
            for entry in wheel.infolist():
                if not entry.is_dir():
                    yield entry.filename, bool(entry.external_attr >> 16 & 0o111), wheel.open(entry)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and (stream := tar.extractfile(member)) is not None:
                yield member.name, bool(member.mode & 0o111), stream


def install_requirements(item: Requirements, pip: Path, into: Path, architecture: str) -> None:
    """The wheels of a lock file below `into`, for Linux on `architecture`, whatever machine this is.

    Runs the pinned pip, so that the user's pip configuration holds. BuildError carries its output.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
    platforms = [f"{tag}_{machine}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    argv = [sys.executable, str(pip), "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    argv += ["--no-compile", "--disable-pip-version-check", "--root-user-action=ignore", "--target", str(into)]
    argv += ["--implementation=cp", f"--python-version={item.python}", "--requirement", str(item.file)]
    argv += [f"--platform={platform}" for platform in platforms]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, check=False)
    if done.returncode != 0:
        raise BuildError(
            f"{item.file.parent.name}/{item.file.name}: pip ended with {done.returncode}",
            detail=(done.stdout + done.stderr)[-8000:],
            hint="the package index must be reachable; PIP_INDEX_URL and HTTPS_PROXY are honoured",
        )
