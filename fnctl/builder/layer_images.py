"""The layer images: language runtimes on the base, the agents on those, services. Made once, found by a digest of all
inputs."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fnctl import catalog, paths
from fnctl.builder import dockerfile, fetch
from fnctl.builder.base_image import base_image as base_image  # part of this module's interface
from fnctl.builder.dockerfile import Snippet
from fnctl.catalog import Download, Fetch, Layer, Requirements
from fnctl.engine.port import LABEL, LABEL_DIGEST, LABEL_ROLE, Engine
from fnctl.errors import BuildError, ImageNotFound
from fnctl.model import RuntimeSpec, ServiceType
from fnctl.progress import Progress

RUNTIME_SNIPPET = "Dockerfile.runtime.j2"
AGENT_SNIPPET = "Dockerfile.agent.j2"
BUILD_SNIPPET = "Dockerfile.build.j2"  # tools that only the steps of builds need: compilers, installers
# What a folder under layers/ holds beside the files that go into the sandbox.
_NOT_AGENT = frozenset(
    {
        "runtime.yaml",
        "tools",
        RUNTIME_SNIPPET,
        AGENT_SNIPPET,
        BUILD_SNIPPET,
        catalog.SERVICE_FILE,
        catalog.SERVICE_SNIPPET,
        "README.md",
        "requirements.in",
        "requirements.lock",
    }
)
_NOT_AGENT_FOLDERS = frozenset({"__pycache__", "node_modules", "tests"})


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a layer folder that an image takes: some of its runtimes, and what has to be fetched for them."""

    layer: Layer
    runtimes: tuple[str, ...]
    fetches: tuple[Fetch, ...]

    @property
    def name(self) -> str:
        return self.layer.folder.name

    def snippet(self, file: str) -> Snippet | None:
        path = self.layer.folder / file
        return Snippet(self.name, path.read_text("utf-8"), self.runtimes) if path.exists() else None


def sandbox_image(engine: Engine, runtimes: Sequence[RuntimeSpec], progress: Progress, root: Path | None = None) -> str:
    """The reference of an image that holds the base, these runtimes and all agents; made where it is missing.

    The reference names a digest of all inputs, so that it never means other contents, and finding it takes two
    look-ups. Two processes that make it at once do the work twice and agree. BuildError when a step fails; the images
    that were there stay. `root`: the folder of all layers, fnctl's own where not given.
    """
    root = root or catalog.layers_dir()
    base = base_image(engine, progress)
    found = engine.image(base)
    if found is None:
        raise ImageNotFound(f"{base} was removed while it was needed", hint="run `fnctl setup` again")
    picked = select(runtimes, architecture())
    lower = runtimes_digest(found.id, architecture(), picked)
    upper = sandbox_digest(lower, root, picked)
    reference = f"fnctl/sandbox:{upper[:12]}"
    if engine.image(reference) is None:
        work = _Work(engine, progress)
        with_runtimes = work.ensure_runtimes(base, lower, picked)
        work.make_sandbox(reference, upper, with_runtimes, picked, root)
    return reference


def build_image(engine: Engine, spec: RuntimeSpec, progress: Progress) -> str | None:
    """The image that the runtime's build steps run in, made where it is missing; None where that is the sandbox image.

    A folder with a BUILD_SNIPPET has one: its own runtimes, those tools, and its own files. Sandboxes never see it.
    """
    selection = _selection(catalog.read_layer(spec.folder), [spec], architecture())
    tools = selection.snippet(BUILD_SNIPPET)
    if tools is None:
        return None
    base = base_image(engine, progress)
    found = engine.image(base)
    if found is None:
        raise ImageNotFound(f"{base} was removed while it was needed", hint="run `fnctl setup` again")
    lower = runtimes_digest(found.id, architecture(), [selection])
    upper = tools_digest(lower, spec.folder, tools)
    reference = f"fnctl/build:{upper[:12]}"
    if engine.image(reference) is None:
        work = _Work(engine, progress)
        work.make_tools(reference, upper, work.ensure_runtimes(base, lower, [selection]), spec.folder, tools)
    return reference


def service_image(engine: Engine, kind: ServiceType, sandbox_image: str, progress: Progress) -> str:
    """The image that a service of this type runs in, pulled or made where it is missing: the one that it names; one
    that its folder's SERVICE_SNIPPET makes on the base, with its own files; else the sandbox image."""
    if kind.image is not None:
        if engine.image(kind.image) is None:
            _Work(engine, progress).pull(f"{kind.name} image", kind.image)
        return kind.image
    if not kind.own_image:
        return sandbox_image
    base = base_image(engine, progress)
    found = engine.image(base)
    if found is None:
        raise ImageNotFound(f"{base} was removed while it was needed", hint="run `fnctl setup` again")
    snippet = Snippet(kind.name, (kind.folder / catalog.SERVICE_SNIPPET).read_text("utf-8"), ())
    digest = tools_digest(found.id, kind.folder, snippet)
    reference = f"fnctl/service:{digest[:12]}"
    if engine.image(reference) is None:
        _Work(engine, progress).make_tools(reference, digest, base, kind.folder, snippet)
    return reference


def has_build_image(spec: RuntimeSpec) -> bool:
    """Has the runtime an image of its own for the steps of builds? Asks no engine."""
    return (spec.folder / BUILD_SNIPPET).exists()


def architecture() -> str:
    """This machine's, in the engine's words: sandboxes run on the same machine."""
    machine = platform.machine().lower()
    names = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    if machine not in names:
        raise BuildError(f"no runtimes for a {machine} machine", hint="fnctl runs on x86_64 and arm64")
    return names[machine]


def select(runtimes: Sequence[RuntimeSpec], machine: str) -> list[Selection]:
    """Group runtimes by folder, sorted, with what each folder fetches on this architecture.

    A folder that brings nothing but an agent is left out: every image has all agents.
    """
    folders = sorted({spec.folder for spec in runtimes})
    picked = [_selection(catalog.read_layer(folder), runtimes, machine) for folder in folders]
    return [each for each in picked if each.fetches or each.snippet(RUNTIME_SNIPPET) or each.snippet(AGENT_SNIPPET)]


def _selection(layer: Layer, runtimes: Sequence[RuntimeSpec], machine: str) -> Selection:
    names = tuple(sorted({spec.name for spec in runtimes if spec.folder == layer.folder}))
    wanted = [*layer.shared, *(item for name in names for item in layer.own[name])]
    fits = [item for item in wanted if isinstance(item, Requirements) or item.architecture in (None, machine)]
    return Selection(layer, names, tuple(fits))


def runtimes_digest(base_id: str, machine: str, picked: Sequence[Selection]) -> str:
    """Over all that the runtimes image is made from; hex."""
    parts: list[object] = [base_id, machine]
    for selection in picked:
        snippet = selection.snippet(RUNTIME_SNIPPET)
        parts += [selection.name, selection.runtimes, snippet.text if snippet else None]
        parts += [[identity(item) for item in selection.fetches]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def identity(item: Fetch) -> object:
    """What a fetched folder is made from."""
    if isinstance(item, Requirements):
        return [item.name, item.python, item.file.read_text("utf-8")]
    return [item.name, item.integrity, item.strip, item.include, item.exclude]


def sandbox_digest(lower: str, root: Path, picked: Sequence[Selection]) -> str:
    """Over the runtimes image, what stands beside the agents, and every agent file: name, whether it can be executed,
    contents; hex."""
    total = hashlib.sha256(lower.encode() + dockerfile.SECRETS.encode())
    for folder in agent_folders(root):
        total.update(_files_digest(folder).encode())
    for selection in picked:
        snippet = selection.snippet(AGENT_SNIPPET)
        total.update(json.dumps([selection.name, snippet.text if snippet else None]).encode())
    return total.hexdigest()


def tools_digest(lower: str, folder: Path, tools: Snippet) -> str:
    """Over the runtimes image, the tools, and the folder's own files; hex."""
    return hashlib.sha256(json.dumps([lower, tools.text, _files_digest(folder)]).encode()).hexdigest()


def _files_digest(folder: Path) -> str:
    """Over each file's name, whether it can be executed, and its contents; hex."""
    total = hashlib.sha256()
    for file in agent_files(folder):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(json.dumps([file.relative_to(folder.parent).as_posix(), _mode(file), content]).encode())
    return total.hexdigest()


def agent_folders(root: Path) -> list[Path]:
    """The folders under layers/ that hold something for the sandbox, `base` among them; by name. Not those of services
    with an image of their own."""
    return [
        folder
        for folder in sorted(root.iterdir())
        if folder.is_dir() and any(agent_files(folder)) and not (folder / catalog.SERVICE_SNIPPET).exists()
    ]


def agent_files(folder: Path) -> Iterator[Path]:
    """The files of a folder that go into the sandbox, sorted: not what describes the folder, nor caches and tests."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and parts[0] not in _NOT_AGENT and not _NOT_AGENT_FOLDERS.intersection(parts):
            yield path


def _mode(file: Path) -> int:
    return 0o755 if file.stat().st_mode & 0o100 else 0o644


class _Work:
    """The making of the images: effects, in the order in which the functions above describe them."""

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self._engine = engine
        self._progress = progress
        self._cache = paths.cache() / "downloads"

    def ensure_runtimes(self, base: str, digest: str, picked: Sequence[Selection]) -> str:
        reference = f"fnctl/runtimes:{digest[:12]}"
        if self._engine.image(reference) is None:
            snippets = [snippet for selection in picked if (snippet := selection.snippet(RUNTIME_SNIPPET))]
            text = dockerfile.runtimes_dockerfile(base, snippets)
            self._build(
                "Building runtimes image",
                reference,
                digest,
                text,
                lambda context, tell: self._fetch(context, picked, tell),
            )
        return reference

    def make_sandbox(self, reference: str, digest: str, lower: str, picked: Sequence[Selection], root: Path) -> None:
        snippets = [snippet for selection in picked if (snippet := selection.snippet(AGENT_SNIPPET))]
        text = dockerfile.sandbox_dockerfile(lower, [folder.name for folder in agent_folders(root)], snippets)
        self._build(
            "Building sandbox image", reference, digest, text, lambda context, _: _stage(context, agent_folders(root))
        )

    def make_tools(self, reference: str, digest: str, lower: str, folder: Path, tools: Snippet) -> None:
        text = dockerfile.tools_dockerfile(lower, folder.name, tools)
        self._build(
            f"Building image of {folder.name} build tools",
            reference,
            digest,
            text,
            lambda context, _: _stage(context, [folder]),
        )

    def pull(self, step: str, reference: str) -> None:
        self._progress.start(step)
        try:
            self._engine.pull(reference)
        except BaseException:
            self._progress.failed(step)
            raise
        self._progress.done(step, reference)

    def _build(
        self, step: str, reference: str, digest: str, text: str, stage: Callable[[Path, Callable[[str], None]], None]
    ) -> None:
        def tell(line: str) -> None:
            self._progress.line(step, line)

        labels: Mapping[str, str] = {LABEL: "1", LABEL_ROLE: "layer", LABEL_DIGEST: f"sha256:{digest}"}
        self._progress.start(step)
        self._cache.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=self._cache.parent, prefix="context-") as folder:
                context = Path(folder)
                (context / "Dockerfile").write_text(text, "utf-8")
                stage(context, tell)
                _let_read(context)
                self._engine.build(context, tag=reference, labels=labels, on_line=tell)
        except BaseException:
            self._progress.failed(step)
            raise
        self._progress.done(step, reference)

    def _fetch(self, context: Path, picked: Sequence[Selection], tell: Callable[[str], None]) -> None:
        for selection in picked:
            for item in selection.fetches:
                into = context / selection.name / item.name
                into.mkdir(parents=True)
                if isinstance(item, Download):
                    tell(f"fetch {item.source}")
                    fetch.unpack(fetch.download(item, self._cache), item, into)
                else:
                    # The folder's own pinned pip, declared before it, and in the context by now.
                    tell(f"fetch the wheels of {item.file.name}")
                    fetch.install_requirements(item, context / selection.name / "pip" / "pip", into, architecture())


def _let_read(context: Path) -> None:
    """Let any user read what was staged, whatever the umask: the engine keeps modes, and sandboxes are not root."""
    for path in context.rglob("*"):
        path.chmod(0o755 if path.is_dir() else _mode(path))


def _stage(context: Path, folders: Sequence[Path]) -> None:
    for folder in folders:
        for file in agent_files(folder):
            target = context / file.relative_to(folder.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            target.chmod(_mode(file))
