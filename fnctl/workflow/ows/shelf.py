"""The definitions: those of the project as it is now, and those that runs began with, kept by their digest."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from fnctl.errors import NotFound
from fnctl.model import Secret, Workflow
from fnctl.openworkflow.definition import Definition, Identity, of_data
from fnctl.openworkflow.expression import Expressions
from fnctl.store.port import Keys, Stale

_KEY = "workflow/definition/"


@dataclass(frozen=True, slots=True)
class Shelved:
    """A definition with its compiled expressions, and the functions that it calls by name."""

    name: str
    definition: Definition
    expressions: Expressions
    functions: frozenset[str]


class Shelf:
    """On the event loop's thread."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._now: dict[str, Shelved] = {}
        self._pinned: dict[str, Shelved] = {}
        self._stored: set[str] = set()
        self._secrets: dict[str, Secret] = {}

    def replace(self, workflows: Iterable[Workflow]) -> None:
        """These are the project's now. What stays as it is keeps its compiled expressions."""
        now = {}
        for each in workflows:
            made = of_data(each.data)
            known = self._now.get(each.name)
            fits = known is not None and known.definition.digest == made.digest
            now[each.name] = known if known is not None and fits else _shelved(each.name, made)
            self._secrets |= {secret.name: secret for secret in each.secrets}
        self._now = now

    def secret(self, name: str) -> Secret | None:
        return self._secrets.get(name)

    @property
    def names(self) -> list[str]:
        return list(self._now)

    def all(self) -> list[Shelved]:
        return list(self._now.values())

    def current(self, name: str) -> Shelved | None:
        return self._now.get(name)

    def found(self, name: str) -> Shelved:
        """Raises NotFound with the nearest name."""
        shelved = self._now.get(name)
        if shelved is None:
            near = get_close_matches(name, self._now, n=1)
            known = f"workflows: {', '.join(self._now)}" if self._now else "add it under `workflows:` in fnctl.yaml"
            raise NotFound(f"no workflow named {name[:100]}", hint=f"did you mean `{near[0]}`?" if near else known)
        return shelved

    def identified(self, wanted: Identity) -> Shelved | None:
        """By what the specification calls it; `latest` is the highest version."""
        fitting = [
            each
            for each in self._now.values()
            if (each.definition.identity.namespace, each.definition.identity.name) == (wanted.namespace, wanted.name)
            and wanted.version in ("latest", each.definition.identity.version)
        ]
        return max(fitting, key=lambda each: _order(each.definition.identity.version), default=None)

    async def pin(self, shelved: Shelved, now: float) -> None:
        """Keep it for as long as there are runs of it."""
        digest = shelved.definition.digest
        self._pinned[digest] = shelved
        if digest not in self._stored:
            text = json.dumps({"name": shelved.name, "data": shelved.definition.data}).encode()
            with contextlib.suppress(Stale):  # it is there already
                await self._keys.set(_KEY + digest, text, now, version=0)
            self._stored.add(digest)

    async def pinned(self, digest: str, now: float) -> Shelved:
        """Raises NotFound."""
        found = self._pinned.get(digest)
        if found is None:
            value = await self._keys.get(_KEY + digest, now)
            if value is None:
                raise NotFound(f"the definition {digest[:12]} is not in the store", hint="the run cannot continue")
            said: Mapping[str, object] = json.loads(value.data)
            definition = of_data(said["data"])  # type: ignore[arg-type]
            found = self._pinned[digest] = _shelved(str(said["name"]), definition)
        return found


def _shelved(name: str, definition: Definition) -> Shelved:
    return Shelved(name, definition, Expressions(), definition.functions())


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.partition("-")[0].split("."))
