"""Which version of a function serves what began in one before: a port, for queues and workflows. Not how it is loaded.

Where a folder with source is served, there is one version at a time, and nobody to ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fnctl.model import Function, SiteKey


@dataclass(frozen=True, slots=True)
class Pinned:
    """A function as a version has it, and where that is served."""

    function: Function
    site: SiteKey


class Versions(Protocol):
    """Of a release. None means the current version: also where the earlier one is no longer there, or does not load."""

    def is_current(self, at: float) -> bool:
        """Whether what was accepted then was accepted in the version that serves now."""
        ...

    async def since(self, function: str, at: float) -> Pinned | None:
        """In the version that was current then, loaded if need be."""
        ...

    async def of(self, function: str, digest: str) -> Pinned | None:
        """In a version that has this bundle of it, loaded if need be."""
        ...

    def left(self, function: str) -> Function | None:
        """As the newest version that is loaded has it, where the current one has it no more."""
        ...
