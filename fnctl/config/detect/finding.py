"""What was found in a folder, as frozen values with the evidence for each. Not the looking for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fnctl.config.problems import Problem
from fnctl.model import Contract, HttpTrigger


@dataclass(frozen=True, slots=True)
class Evidence:
    """A place that says something. `so` is what follows from it: "handler index.js", "contract lambda"."""

    file: str  # relative to the folder that is looked at
    line: int | None
    says: str
    so: str

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Finding:
    """One function. What nothing is said of is None or empty, and gets fnctl's default.

    `wanted` is a version that the folder names ("14", "3.9"), of `language`; which runtime that becomes is decided
    later. `path` is relative to the folder that was looked at, `handler` as fnctl.yaml would have it.
    """

    language: str
    handler: str
    contract: Contract
    evidence: tuple[Evidence, ...]
    name: str | None = None  # None: called like the folder
    path: str = "."
    wanted: str | None = None
    initializer: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    timeout_s: float | None = None
    memory_mb: int | None = None
    cpus: float | None = None
    concurrency: int | None = None
    triggers: tuple[HttpTrigger, ...] = ()
    durable: tuple[float | None, float | None] | None = None  # seconds: of an execution, and that it is kept
    payload: str | None = None  # "1.0": events of a REST API
    command: tuple[str, ...] = ()  # in place of the handler, with the contract `command`
    called: str | None = None  # the name that the folder has for it, where that is another

    @property
    def starts(self) -> str:
        """What is run, for messages."""
        return " ".join(self.command) if self.command else self.handler

    def line_for(self, key: str) -> Evidence | None:
        """The evidence that speaks for `key`: `handler`, `contract`, `runtime`, …"""
        return next((each for each in self.evidence if any(so.startswith(key) for so in each.so.split("; "))), None)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to understand a folder: the functions that it then holds. Several readings are a question."""

    findings: tuple[Finding, ...]

    @property
    def words(self) -> str:
        return ", ".join(f"{each.language} `{each.starts}` as {each.contract}" for each in self.findings)


@dataclass(frozen=True, slots=True)
class Detection:
    """All that a look at one folder told. At most one of: one reading, several (a person decides), or `problems`.

    `source` is the manifest that it came from, or None where the code was read. `notes` are what the user should know
    and what was not taken over.
    """

    readings: tuple[Reading, ...] = ()
    source: str | None = None
    notes: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = field(default=())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of the only reading; none where there is not exactly one."""
        return self.readings[0].findings if len(self.readings) == 1 else ()


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person said of a folder already; each decides between readings that differ in it."""

    manifest: str | None = None
    language: str | None = None
    handler: str | None = None
    contract: Contract | None = None


def merged(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Each place once, with all that follows from it."""
    places: dict[str, Evidence] = {}
    for each in evidence:
        before = places.get(each.where)
        if before and each.so not in before.so:
            places[each.where] = replace(before, so=f"{before.so}; {each.so}")
        else:
            places.setdefault(each.where, each)
    return tuple(places.values())


def one(finding: Finding) -> Reading:
    return Reading((finding,))


def each_alone(findings: Iterable[Finding]) -> list[Reading]:
    return [one(finding) for finding in findings]
