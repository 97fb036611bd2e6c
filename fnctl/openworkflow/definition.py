"""A workflow's definition: read, valid by the schema and in itself. A value; running it is elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fnctl.openworkflow.reading import Path, Source, read
from fnctl.openworkflow.validation import all_lists, validate


@dataclass(frozen=True, slots=True)
class Identity:
    """What the specification knows a workflow by."""

    namespace: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """`data` is never changed. `digest` is that of its content, whatever the file's comments and order of keys."""

    identity: Identity
    data: Mapping[str, Any]
    digest: str

    @property
    def tasks(self) -> list[Mapping[str, Any]]:
        tasks: list[Mapping[str, Any]] = self.data["do"]
        return tasks

    def used(self, kind: str, name: str) -> Any:
        """A reusable component (`use.KIND.NAME`); None where there is none."""
        found = self.data.get("use", {}).get(kind, {})
        return found.get(name) if isinstance(found, Mapping) else None

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(self.data.get("use", {}).get("secrets", ()))

    @property
    def schedule(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.data.get("schedule", {})
        return found

    def each_task(self) -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
        """All tasks, at whatever depth, with their places and names."""
        for path, tasks in all_lists(self.data):
            for index, item in enumerate(tasks):
                for name, task in item.items():
                    yield (*path, index, name), name, task
        for name, task in self.data.get("use", {}).get("functions", {}).items():
            yield ("use", "functions", name), name, task

    def functions(self) -> frozenset[str]:
        """Names of functions that it calls and does not define itself."""
        own = self.data.get("use", {}).get("functions", {})
        calls = {str(task["call"]) for _, _, task in self.each_task() if "call" in task}
        return frozenset(call for call in calls if call not in PROTOCOLS and call not in own and not is_address(call))


PROTOCOLS = frozenset({"asyncapi", "grpc", "http", "openapi", "a2a", "mcp"})


def is_address(call: str) -> bool:
    """Whether a call's word says where a function's definition is: an address, or `NAME:VERSION@CATALOG`."""
    return "://" in call or "@" in call


def of_data(data: Mapping[str, Any]) -> Definition:
    """From what is known to be valid."""
    document = data["document"]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    identity = Identity(document["namespace"], document["name"], str(document["version"]))
    return Definition(identity, data, hashlib.sha256(text.encode()).hexdigest())


def parse(text: str, file: str) -> tuple[Source, Definition | None]:
    """None where the schema refuses it; the source's troubles say why."""
    source = read(text, file)
    validate(source)
    return source, None if source.troubles else of_data(source.data)
