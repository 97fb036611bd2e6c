"""The workflows of a project's files: each read, valid, and checked against what the project has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fnctl.config.document import Document
from fnctl.config.problems import Problem
from fnctl.model import Function, Secret, Workflow

if TYPE_CHECKING:  # the language is loaded where a project has workflows
    from fnctl.openworkflow.definition import Definition
    from fnctl.openworkflow.reading import Source


class Workflows:
    """Read all, then check each: one may run another. Problems go to the documents that name them."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Document, Source, Definition]] = {}

    def add(self, name: str, entry: str | Mapping[str, Any], document: Document) -> None:
        """A definition in a file of its own, or where it stands."""
        from fnctl.openworkflow.definition import of_data, parse
        from fnctl.openworkflow.reading import Source
        from fnctl.openworkflow.validation import validate

        loc = ("workflows", name)
        if isinstance(entry, str):
            path = document.path.parent / entry
            label = str(Path(document.label).parent / entry)
            try:
                text = path.read_text()
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not text"
                document.problem(loc, f"the definition {label} of workflow `{name}` cannot be read: {why}")
                return
            source, definition = parse(text, label)
        else:
            lines = {key[2:]: line for key, line in document.lines.items() if key[:2] == loc}
            source = Source(document.label, dict(entry), lines)
            validate(source)
            definition = None if source.troubles else of_data(source.data)
        _tell(source, document)
        if definition is not None:
            self._read[name] = (document, source, definition)

    def checked(self, functions: Mapping[str, Function], secrets: Mapping[str, Secret]) -> tuple[Workflow, ...]:
        """Those that have no problem."""
        if not self._read:
            return ()
        from fnctl.openworkflow.checks import Surroundings, check

        known = self._identities()
        around = Surroundings(frozenset(functions), frozenset(secrets), known)
        made = []
        for name, (document, source, definition) in self._read.items():
            check(source, definition, around)
            _tell(source, document)
            if not source.troubles:
                theirs = tuple(secrets[each] for each in definition.secrets)
                made.append(Workflow(name, definition.data, f"{source.file}:{source.line(())}", theirs))
        return tuple(made)

    def _identities(self) -> frozenset[str]:
        found: dict[str, str] = {}
        for name, (document, _, definition) in self._read.items():
            word = str(definition.identity)
            if word in found:
                text = f"workflow `{name}` is {word}, and so is `{found[word]}`"
                document.problem(("workflows", name), text, "give one of them another name or version")
            found[word] = name
        return frozenset(found) | frozenset(word.partition("@")[0] for word in found)


def _tell(source: Source, document: Document) -> None:
    for each in source.troubles:
        problem = Problem(each.file, each.line, each.text, each.hint)
        if problem not in document.problems:
            document.problems.append(problem)
