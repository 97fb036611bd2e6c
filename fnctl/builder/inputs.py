"""Everything about a function's folder that its build depends on, read at one moment. Decides nothing."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fnctl.builder import ignore, manifest, provided, tree
from fnctl.builder.provided import Provided
from fnctl.builder.tree import Entry
from fnctl.errors import BuildError
from fnctl.model import Function, RuntimeSpec

# Part of every fingerprint and key: another number makes everything anew after a change of how bundles are made.
FORMAT = 2
# A file that was changed this shortly before it was read may be changed again without its times telling it: they are as
# coarse as the kernel's tick.
TOO_FRESH_NS = 100_000_000
IGNORE_FILE = ".dockerignore"


@dataclass(frozen=True, slots=True)
class Inputs:
    """`manifests`: the dependency files, by name, that are there. `fingerprint`: None where too fresh to rely on it."""

    entries: tuple[Entry, ...]
    manifests: Mapping[str, bytes]
    fingerprint: str | None
    provided: Provided | None = None  # packages of the function's platform that its code counts on


def read(function: Function, spec: RuntimeSpec, clock: Callable[[], int] = time.time_ns) -> Inputs:
    """Read the folder's names and times, and the contents of the few files that decide.

    BuildError for what no bundle can hold. `clock`: ns of the clock that files' times are of.
    """
    now = clock()
    rules = _content(function.path / IGNORE_FILE) or b""
    ignored = _ignored(function, spec, rules)
    manifests = _manifests(function.path, spec)
    entries = tree.scan(function.path, leaves_out=ignored.leaves_out, skips=ignored.skips)
    _check_handler(function, entries)
    fresh = any(max(entry.stamp[:2]) > now - TOO_FRESH_NS for entry in entries)
    given = provided.look(function, spec, entries, manifests)
    own = None if fresh else _fingerprint(function, spec, entries, manifests, rules, given)
    return Inputs(entries, manifests, own, given)


def rules(function: Function, spec: RuntimeSpec) -> ignore.Ignore:
    """What the build leaves out of the folder; of a `.dockerignore` that cannot be read, fnctl's own rules alone."""
    try:
        return _ignored(function, spec, _content(function.path / IGNORE_FILE) or b"")
    except BuildError:
        return _ignored(function, spec, b"")


def named(spec: RuntimeSpec) -> frozenset[str]:
    """The files at the folder's top that a build reads whether they are left out of the bundle or not."""
    return frozenset({file for rule in spec.install for file in rule.files} | {*manifest.BESIDE, IGNORE_FILE})


def _ignored(function: Function, spec: RuntimeSpec, rules: bytes) -> ignore.Ignore:
    kept_free = sorted({rule.result for rule in spec.install if rule.result})
    private = [ignore.exactly(name) for name in function.private]
    results = _results_in_use(function, spec, kept_free)
    return ignore.parse(rules.decode("utf-8", "replace"), [*results, *private])


def _results_in_use(function: Function, spec: RuntimeSpec, results: Iterable[str]) -> list[str]:
    """Where dependencies will be installed, nothing of the folder may stand: not even what a `!` line brings back."""
    applies = any(all((function.path / file).is_file() for file in rule.files) for rule in spec.install)
    return list(results) if applies else []


def _manifests(folder: Path, spec: RuntimeSpec) -> dict[str, bytes]:
    names = sorted(named(spec) - {IGNORE_FILE})
    return {name: content for name in names if (content := _content(folder / name)) is not None}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BuildError(f"cannot read {path}: {error.strerror}") from error


def _check_handler(function: Function, entries: Iterable[Entry]) -> None:
    """A handler that is a file must be in the bundle; found out now, not at the first request."""
    if (function.path / function.handler).is_file() and all(entry.name != function.handler for entry in entries):
        raise BuildError(
            f"the handler {function.handler} of {function.name} is excluded from its bundle",
            hint="its .dockerignore excludes it; add `!" + function.handler + "` as the last line",
        )


def _fingerprint(
    function: Function, spec: RuntimeSpec, entries: Iterable[Entry], manifests: Mapping[str, bytes], rules: bytes,
    given: Provided | None,
) -> str:  # fmt: skip
    contents = {name: hashlib.sha256(content).hexdigest() for name, content in manifests.items()}
    parts = [
        FORMAT,
        str(function.path),
        function.handler,
        runtime_identity(spec),
        hashlib.sha256(rules).hexdigest(),
        sorted(contents.items()),
        given.packages if given else (),
        [(entry.name, entry.executable, entry.size, entry.stamp, entry.target) for entry in entries],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def runtime_identity(spec: RuntimeSpec) -> list[str]:
    """What of a runtime decides about a bundle: its version, how it installs and compiles, and with which tools."""
    declared = (spec.folder / "runtime.yaml").read_bytes()  # holds the pins of the installers
    carried = [rule.carries for rule in spec.install if rule.carries is not None]
    return [spec.name, spec.version, hashlib.sha256(declared).hexdigest(), *carried]
