"""The routes of one host as a tree of path segments: find the best one for a path. Pure.

Precedence is by specificity: a fixed segment before `{name}`, that before `{rest...}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from fnctl.errors import ConfigError
from fnctl.model import Function, SiteKey
from fnctl.triggers.http.target import normal_path


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to reach one function. `strip`: the path's first segment is not the function's business."""

    function: Function
    path: str
    methods: frozenset[str] = frozenset()
    strip: bool = False
    version: SiteKey | None = None  # None: the current one

    @property
    def site(self) -> SiteKey:
        return self.version or SiteKey(self.function.name)


@dataclass(slots=True)
class _Node:
    """A step in the tree of paths: what can follow here, most specific first."""

    fixed: dict[bytes, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    rules: list[tuple[Rule, tuple[str, ...]]] = field(default_factory=list)  # the path may end here
    rest: list[tuple[Rule, tuple[str, ...]]] = field(default_factory=list)  # anything may follow


class Table:
    """All rules of one host."""

    __slots__ = ("_root",)

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._root = _Node()
        for rule in rules:
            self._add(rule)

    def _add(self, rule: Rule) -> None:
        node, names = self._root, list[str]()
        for segment in rule.path.split("/")[1:]:
            if segment.startswith("{") and segment.endswith("...}"):
                _place(node.rest, rule, (*names, segment[1:-4]))
                return
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.fixed.setdefault(normal_path(b"/" + quote(segment, safe="%").encode())[1:], _Node())
        _place(node.rules, rule, tuple(names))

    def find(self, method: str, path: bytes) -> tuple[Rule, list[tuple[str, bytes]]] | set[str]:
        """The best rule with its parameters, or the methods that the path would take."""
        allowed: set[str] = set()
        found = _find(self._root, path.split(b"/")[1:], 0, (), method, allowed)
        return found or allowed


def _place(rules: list[tuple[Rule, tuple[str, ...]]], rule: Rule, names: tuple[str, ...]) -> None:
    for other, _ in rules:
        if not other.methods or not rule.methods or other.methods & rule.methods:
            raise ConfigError(
                f"functions {other.function.name} and {rule.function.name} both claim {rule.path}",
                hint="give one of them another path, host or method",
            )
    rules.append((rule, names))


def _find(
    node: _Node, segments: list[bytes], at: int, values: tuple[bytes, ...], method: str, allowed: set[str]
) -> tuple[Rule, list[tuple[str, bytes]]] | None:
    """Depth first, most specific first, with a way back: a more general path counts where the method differs."""
    if at == len(segments):
        return _pick(node.rules, values, method, allowed)
    segment = segments[at]
    if (child := node.fixed.get(segment)) is not None and (
        found := _find(child, segments, at + 1, values, method, allowed)
    ):
        return found
    if (
        node.parameter is not None
        and segment
        and (found := _find(node.parameter, segments, at + 1, (*values, segment), method, allowed))
    ):
        return found
    return _pick(node.rest, (*values, b"/".join(segments[at:])), method, allowed) if node.rest else None


def _pick(
    rules: list[tuple[Rule, tuple[str, ...]]], values: tuple[bytes, ...], method: str, allowed: set[str]
) -> tuple[Rule, list[tuple[str, bytes]]] | None:
    for rule, names in rules:
        if not rule.methods or method in rule.methods or (method == "HEAD" and "GET" in rule.methods):
            return rule, list(zip(names, values, strict=True))
        allowed |= rule.methods
    return None
