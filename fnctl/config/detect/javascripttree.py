"""A JavaScript or TypeScript file as a syntax tree: comments, names, functions and their parameters. Not its exports.

The grammars are tree-sitter's. They find their way past what they do not know, so that a file that does not parse as a
whole still tells of the rest. The library is imported at the first file: most verbs read none.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from fnctl.config.detect.source import Source

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query

_GRAMMARS = {".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx"}
MAX_BROKEN = 5_000  # nodes of a tree with errors in it that is looked into
MAX_FOLLOWED = 8  # names that stand for names, one behind the other
_COMMENTS = ("comment", "hash_bang_line")
_INSIDES = ("string", "template_string", "regex")
_FUNCTIONS = (
    "function_declaration", "generator_function_declaration", "function_expression", "generator_function",
    "arrow_function", "method_definition",
)  # fmt: skip
_NAMED = ("function_declaration", "generator_function_declaration", "class_declaration", "abstract_class_declaration")
_AROUND = ("parenthesized_expression", "as_expression", "satisfies_expression", "type_assertion", "non_null_expression")
# What is looked for. Of names there are too many: only those that CommonJS exports with.
_KINDS = (*_COMMENTS, *_INSIDES, *_NAMED, "variable_declarator", "import_statement", "export_statement",
          "call_expression", "assignment_expression")  # fmt: skip
_EXPORTING = '((identifier) @identifier (#any-of? @identifier "exports" "module"))'
_TOP = ("program", "export_statement")


@dataclass(frozen=True, slots=True)
class Imported:
    """A value of another module: its export `name`, or all of them where that is empty."""

    specifier: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression is, as far as reading tells.

    `parameters` None: no function that is written out. `made`: what is called for it, `express` of `express()`.
    `members`: the object literal that it is.
    """

    parameters: tuple[str, ...] | None = None
    made: str = ""
    imported: Imported | None = None
    members: Node | None = None
    plain: bool = False  # a class or a literal: known, and no function

    @property
    def known(self) -> bool:
        return self.plain or self.parameters is not None


@functools.cache
def _grammar(name: str) -> tuple[Parser, Query]:
    """The parser of a grammar, and the query for what is looked for in its trees."""
    import tree_sitter

    if name == "javascript":
        import tree_sitter_javascript

        language = tree_sitter.Language(tree_sitter_javascript.language())
    else:
        import tree_sitter_typescript as typescript

        made = typescript.language_tsx() if name == "tsx" else typescript.language_typescript()
        language = tree_sitter.Language(made)
    kinds = [f"({kind}) @{kind}" for kind in _KINDS if language.id_for_node_kind(kind, True) is not None]
    return tree_sitter.Parser(language), tree_sitter.Query(language, "\n".join([*kinds, _EXPORTING]))


def _read(raw: bytes, suffix: str) -> tuple[Node, dict[str, list[Node]]]:
    """The tree, and its nodes by kind: none of a large file that is broken, which is no code that somebody wrote."""
    from tree_sitter import QueryCursor

    name = _GRAMMARS.get(suffix, "javascript")
    root = _grammar(name)[0].parse(raw).root_node
    broken = root.has_error and root.descendant_count > MAX_BROKEN
    if root.has_error and not broken and name == "javascript":  # types in a `.js`, which runtimes strip, too
        typed = _grammar("tsx")[0].parse(raw).root_node
        name, root = ("javascript", root) if typed.has_error else ("tsx", typed)
    return root, {} if broken else QueryCursor(_grammar(name)[1]).captures(root)


class Tree:
    """One file. `code` is its text without comments, `bare` also without what is in strings and patterns: every place
    in them is where it was in the file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._raw = source.text.encode("utf-8", errors="replace")
        self.root, self._kinds = _read(self._raw, PurePath(source.name).suffix)
        comments = [(each.start_byte, each.end_byte) for each in self.of(*_COMMENTS)]
        insides = [(each.start_byte + 1, each.end_byte - 1) for each in self.of(*_INSIDES)]
        self.code = self._blanked(comments)
        self.bare = self._blanked([*comments, *insides])
        self._names = self._bound()

    def of(self, *kinds: str) -> list[Node]:
        """The nodes of these kinds, of those in _KINDS; in the order of the file for each kind. `identifier` are those
        that exports are written with."""
        return [node for kind in kinds for node in sorted(self._kinds.get(kind, ()), key=lambda each: each.start_byte)]

    def text(self, node: Node | None) -> str:
        return self._raw[node.start_byte : node.end_byte].decode("utf-8", errors="replace") if node else ""

    def string(self, node: Node | None) -> str | None:
        """What a string literal says; None where it is something else."""
        return self.text(node)[1:-1] if node is not None and node.type == "string" else None

    def line(self, node: Node) -> int:
        return node.start_point.row + 1

    def value(self, node: Node | None, left: int = MAX_FOLLOWED) -> Value:
        """What an expression stands for, names followed."""
        node = unwrapped(node)
        if node is None or left == 0:
            return Value()
        if node.type in _FUNCTIONS:
            return Value(parameters=self.parameters(node))
        if node.type in ("identifier", "shorthand_property_identifier"):
            return self.named(self.text(node), left - 1)
        if node.type == "assignment_expression":
            return self.value(node.child_by_field_name("right"), left - 1)
        if node.type == "object":
            return Value(members=node)
        if node.type == "member_expression":
            return self._member(node, left)
        if node.type in ("call_expression", "new_expression"):
            return self._called(node)
        return Value(plain=node.type in ("class", "string", "number", "array", "true", "false", *_NAMED))

    def named(self, name: str, left: int = MAX_FOLLOWED) -> Value:
        """What the file declares or imports under `name`."""
        bound = self._names.get(name)
        return bound if isinstance(bound, Value) else self.value(bound, left)

    def declares(self, name: str) -> Node | None:
        """The function of that name at the file's top level."""
        found = (each for each in self.of(*_NAMED[:2]) if self.text(each.child_by_field_name("name")) == name)
        return next((each for each in found if _is_top(each)), None)

    def parameters(self, function: Node) -> tuple[str, ...]:
        """Their names; `{}` for one that is taken apart."""
        alone = function.child_by_field_name("parameter")
        listed = function.child_by_field_name("parameters")
        nodes = [alone] if alone is not None else listed.named_children if listed is not None else []
        names = [self._parameter(each) for each in nodes if each.type not in _COMMENTS]
        return tuple(name for name in names if name != "this")  # TypeScript's `this` is a type alone

    def members(self, node: Node) -> Iterator[tuple[str, Node, Node]]:
        """An object literal's members: name, value and the node where each stands. Spread ones are left out."""
        for each in node.named_children:
            if each.type == "shorthand_property_identifier":
                yield self.text(each), each, each
            elif each.type in ("pair", "method_definition"):
                key = each.child_by_field_name("key" if each.type == "pair" else "name")
                value = each.child_by_field_name("value") if each.type == "pair" else each
                name = self.string(key) if key is not None and key.type == "string" else self.text(key)
                if name and value is not None and key is not None and key.type != "computed_property_name":
                    yield name, value, each

    def _parameter(self, node: Node) -> str:
        inner = node.child_by_field_name("pattern") or node.child_by_field_name("left")
        if inner is not None:
            return self._parameter(inner)
        if node.type == "rest_pattern" and node.named_children:
            return self._parameter(node.named_children[0])
        return self.text(node) if node.type in ("identifier", "this") else "{}"

    def _member(self, node: Node, left: int) -> Value:
        """`handlers.hello`, where `handlers` is an object that is written out, or another module."""
        owner = self.value(node.child_by_field_name("object"), left - 1)
        wanted = self.text(node.child_by_field_name("property"))
        if owner.imported is not None and not owner.imported.name:
            return Value(imported=Imported(owner.imported.specifier, wanted))
        if owner.members is not None:
            found = (value for name, value, _ in self.members(owner.members) if name == wanted)
            return self.value(next(found, None), left - 1)
        return Value()

    def _called(self, node: Node) -> Value:
        called = node.child_by_field_name("function") or node.child_by_field_name("constructor")
        name = "".join(self.text(called).split())
        if name == "require" and (specifier := self.string(first_argument(node))) is not None:
            return Value(imported=Imported(specifier))
        return Value(made=name)

    def _bound(self) -> dict[str, Node | Value]:
        """What each name is bound to. The top level goes before what is inside of blocks and functions."""
        found: dict[str, Node | Value] = {}
        declared = [(each, each.child_by_field_name("name"), each) for each in self.of(*_NAMED)]
        for each in self.of("variable_declarator"):
            name, value = each.child_by_field_name("name"), each.child_by_field_name("value")
            if value is not None and name is not None and name.type == "object_pattern":
                found.update(self._taken_apart(name, value))
            elif value is not None:
                declared.append((each, name, value))
        for _, name, node in sorted(declared, key=lambda each: not _is_top(each[0])):
            found.setdefault(self.text(name), node)
        for each in self.of("import_statement"):
            found.update(self._imports(each))
        return found

    def _taken_apart(self, pattern: Node, value: Node) -> Iterator[tuple[str, Value]]:
        """`const { handler, other: mine } = require("./handlers")`."""
        source = unwrapped(value)
        whole = self._called(source) if source is not None and source.type == "call_expression" else Value()
        for each in pattern.named_children if whole.imported else ():
            key, name = each.child_by_field_name("key"), each.child_by_field_name("value")
            made = (
                Value(imported=Imported(whole.imported.specifier, self.text(key or each))) if whole.imported else whole
            )
            yield self.text(name or each), made

    def _imports(self, node: Node) -> Iterator[tuple[str, Value]]:
        specifier = self.string(node.child_by_field_name("source"))
        clause = next((each for each in node.named_children if each.type == "import_clause"), None)
        for each in clause.named_children if clause is not None and specifier else ():
            if each.type == "identifier":
                yield self.text(each), Value(imported=Imported(specifier or "", "default"))
            elif each.type == "namespace_import":
                yield self.text(each.named_children[0]), Value(imported=Imported(specifier or ""))
            else:
                for one in each.named_children:
                    name, alias = one.child_by_field_name("name"), one.child_by_field_name("alias")
                    yield self.text(alias or name), Value(imported=Imported(specifier or "", self.text(name)))

    def _blanked(self, ranges: Iterable[tuple[int, int]]) -> str:
        """The text with these bytes as spaces, one for each character."""
        pieces, at = [], 0
        for start, end in sorted(ranges):
            if start < at or end <= start:
                continue
            hidden = self._raw[start:end].decode("utf-8", errors="replace")
            pieces += [self._raw[at:start].decode("utf-8", errors="replace")]
            pieces += ["".join("\n" if each == "\n" else " " for each in hidden)]
            at = end
        return "".join([*pieces, self._raw[at:].decode("utf-8", errors="replace")])


def unwrapped(node: Node | None) -> Node | None:
    """Without parentheses, types and `await` around it."""
    while node is not None and node.type in (*_AROUND, "await_expression"):
        inner = [each for each in node.named_children if each.type not in ("type_arguments", *_COMMENTS)]
        node = inner[0] if inner else None
    return node


def arguments(call: Node) -> list[Node]:
    listed = call.child_by_field_name("arguments")
    return [each for each in listed.named_children if each.type not in _COMMENTS] if listed is not None else []


def first_argument(call: Node) -> Node | None:
    return next(iter(arguments(call)), None)


def _is_top(node: Node) -> bool:
    parent = node.parent
    while parent is not None and parent.type in ("lexical_declaration", "variable_declaration"):
        parent = parent.parent
    return parent is not None and parent.type in _TOP
