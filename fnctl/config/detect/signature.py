"""A function that a file exports: its name, its parameters and its text. Not what it was written for."""

from __future__ import annotations

from dataclasses import dataclass

from fnctl.config.detect.finding import Evidence
from fnctl.config.detect.source import Source


@dataclass(frozen=True, slots=True)
class Signature:
    """`parameters` are names; None where reading does not tell (a value that is made by a call, for instance).

    `code` is the text that the function's behaviour is looked for in: its file without comments.
    """

    source: Source
    handler: str  # module.attr
    name: str
    parameters: tuple[str, ...] | None
    line: int
    code: str

    def evidence(self, so: str) -> Evidence:
        return self.source.evidence(self.line, so)

    def parameter(self, index: int) -> str:
        """The name of a parameter, lower case and without `_` in front; "" where there is none."""
        if self.parameters is None or len(self.parameters) <= index:
            return ""
        return self.parameters[index].lstrip("_").lower()
