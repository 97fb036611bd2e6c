"""The text of a definition as data, and on which line each part of it stands. YAML, and so JSON. Judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str | int, ...]
DEPTH = 100  # of a definition; and a bound for one that contains itself
SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, where. `line` and `column` count from 1; `column` only where it is known."""

    file: str
    line: int
    text: str
    hint: str | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"
        return f"{place}: {self.text}"


@dataclass(slots=True)
class Source:
    """`data` is plain JSON; None where the text could not be read, and `troubles` says why."""

    file: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Of the nearest part at or above the path that has one."""
        for length in range(len(path), -1, -1):
            if (found := self.lines.get(path[:length])) is not None:
                return found
        return 1

    def trouble(self, path: Path, text: str, hint: str | None = None) -> None:
        self.troubles.append(Trouble(self.file, self.line(path), text, hint))


def read(text: str, file: str) -> Source:
    """One definition. Times stay texts, as JSON has them."""
    source = Source(file)
    if len(text) > SIZE:
        source.trouble((), f"is larger than {SIZE >> 20} MiB")
        return source
    try:
        node = YAML(typ="safe", pure=True).compose(text)
        if node is None:
            source.trouble((), "is empty", "a definition begins with `document:`")
            return source
        source.data = _Reader(source).value(node, (), 0)
    except (MarkedYAMLError, YAMLError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        said = str(getattr(error, "problem", None) or error).strip()
        source.troubles.append(
            Trouble(
                file, mark.line + 1 if mark else 1, f"is not YAML: {said}", column=mark.column + 1 if mark else None
            )
        )
        source.data = None
    return source


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._constructor = SafeConstructor(loader=YAML(typ="safe", pure=True))

    def value(self, node: Node, path: Path, depth: int) -> Any:
        self._source.lines.setdefault(path, node.start_mark.line + 1)
        if depth > DEPTH:
            raise YAMLError("is nested too deeply, or contains itself")
        if isinstance(node, MappingNode):
            return dict(self._pairs(node, path, depth))
        if isinstance(node, SequenceNode):
            return [self.value(each, (*path, index), depth + 1) for index, each in enumerate(node.value)]
        return self._scalar(node)

    def _pairs(self, node: MappingNode, path: Path, depth: int) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, each in node.value:
            if not isinstance(key, ScalarNode):
                self._source.trouble(path, "a key must be a plain word")
                continue
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                self._source.troubles.append(Trouble(self._source.file, line, f"`{name}` stands here twice"))
            seen.add(name)
            self._source.lines[(*path, name)] = line
            yield name, self.value(each, (*path, name), depth + 1)

    def _scalar(self, node: Node) -> Any:
        if str(node.tag).endswith((":timestamp", ":binary")):
            return str(node.value)
        value = self._constructor.construct_object(node, deep=True)
        return value if value is None or isinstance(value, bool | int | float | str) else str(node.value)
