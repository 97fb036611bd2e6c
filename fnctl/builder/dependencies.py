"""Dependencies: installed in a container, once for the files that name them, and kept by key.

The container is of the sandbox image, or of the one that the runtime has for builds (layers.build_image). The step sees
a copy of those files (of the whole folder where it must), the host's package-manager settings, and a network. Its
scripts are foreign code: they run without privileges as a user of their own, and write to that copy only.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fnctl import paths
from fnctl.builder import bundle as bundles
from fnctl.builder import host_settings as host
from fnctl.builder import manifest, store, tree
from fnctl.builder.bundle import Item
from fnctl.builder.host_settings import HostSettings
from fnctl.builder.install_plan import Install
from fnctl.builder.tree import Entry
from fnctl.engine.port import LABEL_FUNCTION, LABEL_ROLE, Engine, RunResult
from fnctl.errors import BuildError, DeadlineExceeded
from fnctl.model import CompileRule, Function, InstallRule, SandboxSpec
from fnctl.progress import Progress

APP = "/fn/app"  # as at run time: what is compiled or built carries the path
SCRATCH = "/fn/tmp"
TOOLS = "/fn/tools"  # those that a rule names: a folder each

# What package managers read from the user's home, however they are called.
HOME_FILES = {"npmrc": ".npmrc", "yarnrc.yml": ".yarnrc.yml"}

# Below the users of slots, above those of distributions: where fnctl runs as root, the step does not.
BUILD_UID = 69_999
MEMORY_MB = 2048
PROCESSES = 1024
OPEN_FILES = 8192

KEPT_S = 30 * 24 * 3600  # of a tree that no build has used: as long as a branch may lie

# The step's shell reads settings from a file: what stands in a container's environment, anybody at the engine can read.
_SHELL = f'umask 022; . {host.CONFIG}/environment; cd {APP} && exec "$@"'

# Signs of a network that is not there, as npm, pip and the resolver word them.
_NO_NETWORK = (
    "EAI_AGAIN",
    "ENOTFOUND",
    "ENETUNREACH",
    "Temporary failure in name resolution",
    "Network is unreachable",
)

_HINTS = (
    (_NO_NETWORK, "the container reached no package registry: check the network, the proxy variables, and DNS"),
    (
        ("SELF_SIGNED_CERT", "UNABLE_TO_GET_ISSUER", "CERTIFICATE_VERIFY_FAILED", "unable to get local issuer"),
        "the network has a certificate authority of its own: name its file in SSL_CERT_FILE",
    ),
    (("can only install packages when your", "EUSAGE"), "run `npm install` and commit the package-lock.json it writes"),
    (
        ("frozen-lockfile", "frozen lockfile", "ERR_PNPM_OUTDATED_LOCKFILE", "YN0028"),
        "the lock file is older than package.json: install on your machine, and commit the lock file that is written",
    ),
    (("EUNSUPPORTEDPROTOCOL",), "commit the lock file of the package manager that package.json is written for"),
    (
        ("Run `poetry lock`", "lock --check", "pipenv verify", "run `uv lock`"),
        "the lock file is older than the file it was made from: lock anew and commit it",
    ),
    (
        ("gcc", "g++", "not found: make", "node-gyp", "Failed building wheel", "Failed to build", "cargo"),
        "the image has no compiler: choose a version of the package that comes built (a wheel, a prebuilt addon)",
    ),
    (("No matching distribution", "ETARGET", "E404"), "no such version for this runtime: check its name and number"),
    (
        ("ENOSPC", "No space left on device"),
        "the disk is full: `fnctl prune --machine` removes what is unused",
    ),
)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What steps in containers are run with: the same for every function of a build."""

    engine: Engine
    image_of: Callable[[str], str]  # a runtime's name → what its steps run in; made when it is asked for
    tool_of: Callable[[str, str], Path]  # a runtime's name, a tool's name → its folder; fetched when it is asked for
    owner: Mapping[str, str]  # labels of every container
    settings: HostSettings
    progress: Progress
    timeout_s: float
    stopping: threading.Event = field(default_factory=threading.Event)  # set: no further step begins


@dataclass(frozen=True, slots=True)
class Dependencies:
    """A finished tree of dependencies and what it holds. Names are as in the function's folder: `node_modules/…`."""

    root: Path
    items: tuple[Item, ...]
    cached: bool


def folder() -> Path:
    return paths.home() / "deps"


def place(key: str) -> Path:
    return folder() / key


def is_installed(key: str) -> bool:
    return (place(key) / "index.json").is_file()


def sweep(now_s: float) -> None:
    """Remove trees that no build has used for KEPT_S. Bundles lose nothing: the files are theirs as well."""
    for index in folder().glob("*/index.json"):
        if index.stat().st_mtime < now_s - KEPT_S:
            with _held(index.parent.with_name(f"{index.parent.name}.lock")):
                store.remove(index.parent)


def ensure(
    shop: Workshop,
    function: Function,
    install: Install,
    key: str,
    entries: tuple[Entry, ...],
    compiling: CompileRule | None,
    *,
    force: bool = False,
) -> Dependencies:
    """The dependencies of that key; installed where they are not there, or forced. One installs, others wait for it."""
    there = place(key)
    folder().mkdir(parents=True, exist_ok=True)
    step = f"Installing dependencies of {function.name}"
    with _held(there.with_name(f"{key}.lock")):
        if is_installed(key) and not force:
            os.utime(there / "index.json")  # in use: `sweep` goes by that
            return Dependencies(there / "tree", _index(there), cached=True)
        shop.progress.start(step)
        try:
            with store.working_folder(folder()) as work:
                made = fresh(shop, function, install, entries, compiling, work, step)
                finished = work / "finished"
                finished.mkdir(mode=0o700)
                (finished / "index.json").write_text(bundles.dumps(made.items), "utf-8")
                made.root.rename(finished / "tree")
                store.remove(there)
                finished.rename(there)
        except BaseException:
            shop.progress.failed(step)
            raise
        shop.progress.done(
            step, f"{len(made.items)} files" + (f"; {install.provided.words}" if install.provided else "")
        )
    return replace(made, root=there / "tree")


def find(key: str) -> Dependencies:
    """The dependencies of that key, which a plan found installed. BuildError where they are gone since."""
    try:
        with _held(place(key).with_name(f"{key}.lock")):
            os.utime(place(key) / "index.json")
            return Dependencies(place(key) / "tree", _index(place(key)), cached=True)
    except FileNotFoundError as error:
        raise BuildError(
            "the installed dependencies were removed while a build needed them",
            hint="build again: they will be installed",
        ) from error


def _index(there: Path) -> tuple[Item, ...]:
    return bundles.loads((there / "index.json").read_text("utf-8"))


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fresh(
    shop: Workshop,
    function: Function,
    install: Install,
    entries: tuple[Entry, ...],
    compiling: CompileRule | None,
    work: Path,
    step: str,
) -> Dependencies:
    """Install into `work`, with no cache; the tree is at `work`/tree, every file as a bundle has it."""
    manifest.check_inside(dict(install.files))
    app = work / "app"
    app.mkdir()
    if install.whole_folder:
        store.copy(entries, function.path, app)
    for name, content in install.files:
        (app / name).write_bytes(content)
    spec = _install_spec(shop, function, install, (*_stage(shop, work), *_tools(shop, function, install.rule.tools)))
    _check(_run_on_a_network(shop, spec, step), shop, f"{install.rule.what} {function.name}")
    if compiling is not None and compiling.dependencies:
        compile_in(shop, function, compiling, app, step)
    target = work / "tree"
    target.mkdir(mode=0o755)
    # Copied by fnctl's own hand: owners, odd modes and hard links of the step end here. Links lead anywhere in the
    # function's folder: a local package is one to its place in the code.
    entries = tree.scan(app, within=_results(app, install.rule))
    return Dependencies(target, store.copy(entries, app, target), cached=False)


def _results(app: Path, rule: InstallRule) -> tuple[str, ...]:
    """The folders that an install left. None where nothing was installed, or a script put something else there."""
    places = [rule.result]
    for where, folders, _ in os.walk(app) if rule.nested else ():
        folders[:] = sorted(each for each in folders if each != rule.result)
        places += [f"{os.path.relpath(where, app)}/{rule.result}"] if Path(where) != app else []
    return tuple(place for place in places if (app / place).is_dir() and not (app / place).is_symlink())


def _stage(shop: Workshop, work: Path) -> tuple[tuple[str, str, bool], ...]:
    """The step's mounts. The settings are readable by any user, so that the step's is; `work` above them is private."""
    config, scratch = work / "config", work / "tmp"
    config.mkdir()
    config.chmod(0o755)  # whatever the umask: another user reads there
    for name, content in shop.settings.files:
        (config / name).write_bytes(content)
        (config / name).chmod(0o644)
    scratch.mkdir()
    for name in (name for name, _ in shop.settings.files if name in HOME_FILES):
        (scratch / HOME_FILES[name]).symlink_to(f"{host.CONFIG}/{name}")
    hand_over(work / "app", step_uid())
    hand_over(scratch, step_uid())
    links = tuple((source, inside, True) for source, inside in shop.settings.folders)
    return ((str(work / "app"), APP, False), (str(scratch), SCRATCH, False), (str(config), host.CONFIG, True), *links)


def _tools(shop: Workshop, function: Function, names: tuple[str, ...]) -> tuple[tuple[str, str, bool], ...]:
    return tuple((str(shop.tool_of(function.runtime, name)), f"{TOOLS}/{name}", True) for name in names)


def hand_over(folder: Path, uid: int) -> None:
    """Give the tree to a user. Only root can, and only there the step's user is another than ours."""
    if os.getuid() != 0:
        return
    for where, folders, files in os.walk(folder):
        for name in (where, *(os.path.join(where, each) for each in (*folders, *files))):  # noqa: PTH118
            os.chown(name, uid, uid, follow_symlinks=False)


def step_uid() -> int:
    return BUILD_UID if os.getuid() == 0 else os.getuid()


def _install_spec(
    shop: Workshop, function: Function, install: Install, mounts: tuple[tuple[str, str, bool], ...]
) -> SandboxSpec:
    own_settings = (("HOME", SCRATCH), ("TMPDIR", SCRATCH), ("LANG", "C.UTF-8"), ("npm_config_cache", f"{SCRATCH}/npm"))
    return replace(
        step_spec(shop, function, mounts, ("/bin/sh", "-c", _SHELL, "install", *install.rule.run)),
        network="host" if shop.settings.loopback_proxy else "bridge",
        environment=(*own_settings, ("PIP_NO_CACHE_DIR", "1"), *install.rule.environment),
    )


def step_spec(
    shop: Workshop, function: Function, mounts: tuple[tuple[str, str, bool], ...], command: tuple[str, ...]
) -> SandboxSpec:
    """A container of the build: no network, roomy, the step's own user."""
    labels = {**shop.owner, LABEL_ROLE: "build", LABEL_FUNCTION: function.name}
    return SandboxSpec(
        name=f"fnctl-build-{os.getpid()}-{secrets.token_hex(4)}",
        image=shop.image_of(function.runtime),
        command=command,
        labels=tuple(labels.items()),
        uid=step_uid(),
        mounts=mounts,
        memory_mb=MEMORY_MB,
        pids=PROCESSES,
        nofile=OPEN_FILES,
        hostname="build",
    )


def builder_pid(container: str) -> int:
    """The process that runs the step in a container of this name."""
    return int(container.split("-")[2])


def _run_on_a_network(shop: Workshop, spec: SandboxSpec, step: str) -> RunResult:
    """On a bridge; on the host's own network where the bridge leads nowhere (a firewall, a resolver on loopback)."""
    result = _run(shop, spec, step)
    bridged = spec.network == "bridge"
    if bridged and result.exit_code != 0 and not result.timed_out and _mentions(result.output, _NO_NETWORK):
        shop.progress.line(step, "no network on Docker's bridge; trying again on the host's network")
        return _run(shop, replace(spec, network="host"), step)
    return result


def _run(shop: Workshop, spec: SandboxSpec, step: str) -> RunResult:
    if shop.stopping.is_set():
        raise BuildError("the build was interrupted", code="interrupted")

    def tell(line: str) -> None:
        shop.progress.line(step, shop.settings.redact(line))

    return shop.engine.run(spec, timeout_s=shop.timeout_s, on_line=tell)


def _check(result: RunResult, shop: Workshop, what: str) -> None:
    output = shop.settings.redact(result.output)
    if result.timed_out:
        raise DeadlineExceeded(
            f"{what} did not finish within {shop.timeout_s:g} s",
            hint="set FNCTL_BUILD_TIMEOUT, for example to 30m",
            detail=_last_lines(output),
            code="build_timeout",
        )
    if result.exit_code != 0:
        killed = f"it was killed, perhaps for using more than {MEMORY_MB} MB" if result.exit_code == 137 else None
        raise BuildError(
            f"{what} failed: the installer ended with exit code {result.exit_code}",
            hint=killed or next((hint for signs, hint in _HINTS if _mentions(output, signs)), None),
            detail=_last_lines(output),
        )


def _mentions(output: str, signs: tuple[str, ...]) -> bool:
    return any(sign in output for sign in signs)


def _last_lines(output: str, count: int = 40) -> str:
    return "\n".join(output.rstrip().splitlines()[-count:])


def compile_in(shop: Workshop, function: Function, rule: CompileRule, app: Path, step: str) -> None:
    """Run the runtime's compiler over `app`, in a container without network. What does not compile stays as it is."""
    hand_over(app, step_uid())
    mounts = ((str(app), APP, False), *_tools(shop, function, rule.tools))
    spec = replace(step_spec(shop, function, mounts, rule.run), environment=rule.environment)
    result = _run(shop, spec, step)
    hand_over(app, os.getuid())
    if result.timed_out:
        _check(result, shop, f"compiling {function.name}")


def is_sound(key: str) -> bool:
    """Are the tree's files still what was installed? Reads them all."""
    try:
        expected = bundles.digest(_index(place(key)))
    except (OSError, ValueError, TypeError):
        return False
    return store.damage(place(key) / "tree", expected) is None
