"""What a JavaScript or TypeScript file exports, and with which parameters. Nothing is required or run.

CommonJS, ES modules, what TypeScript and bundlers make of them, and what is handed on from other files of the folder.
What only a run would tell is left open; nothing is taken to be there that is not written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import TYPE_CHECKING

from fnctl.config.detect.javascripttree import Imported, Tree, Value, arguments, first_argument, unwrapped
from fnctl.config.detect.source import Source, read_source

if TYPE_CHECKING:
    from tree_sitter import Node

SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")
# A file that a person wrote has fewer exports; a bundler's output must not take minutes to look at.
MAX_EXPORTS = 200
MAX_FILES = 20  # read for one, where they hand on what others export
_COPIES = ("__exportStar", "__reExport")  # TypeScript's and esbuild's `export *`, as functions
_LISTS = ("__export", "_export")  # esbuild's and SWC's: names with functions that give the value


@dataclass(frozen=True, slots=True)
class Export:
    """`parameters` None: not a function that is written out. `made`: what is called for the value, `express` of
    `express()`. `source`, `code` and `line` are those of the file that defines it."""

    name: str
    source: Source
    code: str
    line: int
    parameters: tuple[str, ...] | None
    made: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """`code` is the file with comments blanked, `bare` with the insides of strings and patterns blanked too. The places
    of all three are the same. `complete`: `exports` are all there are, as far as can be read."""

    source: Source
    code: str
    bare: str
    exports: tuple[Export, ...]
    complete: bool
    main: Export | None  # a function `main` at the top level, exported or not

    def export(self, name: str) -> Export | None:
        return next((each for each in self.exports if each.name == name), None)


def read_script(source: Source, folder: Path) -> Script:
    """What the file `source` of a folder exports, itself or out of other files of it."""
    return _script(source, folder, {source.name})


def _script(source: Source, folder: Path, seen: set[str]) -> Script:
    tree = Tree(source)
    reading = _Exports(tree, folder, seen)
    reading.read()
    found = tuple(sorted(reading.found.values(), key=lambda each: each.source.name == source.name and each.line))
    main = tree.declares("main")
    bare_main = reading.export("main", main, tree.value(main)) if main is not None else None
    return Script(source, tree.code, tree.bare, found, not reading.open, bare_main)


@dataclass(slots=True)
class _Exports:
    """Collects the exports of one file. `aliases` are names that stand for its exports object."""

    tree: Tree
    folder: Path
    seen: set[str]  # files that are being read
    found: dict[str, Export] = field(default_factory=dict)
    aliases: set[str] = field(default_factory=set)
    open: bool = False

    def read(self) -> None:
        for statement in islice(self.tree.of("export_statement"), MAX_EXPORTS):
            self._statement(statement)
        if self.tree.of("identifier"):  # `exports` or `module`
            self._name_aliases()
            for assignment in self.tree.of("assignment_expression"):
                self._assignment(assignment)
            for call in self.tree.of("call_expression"):
                self._call(call)
        self.open = self.open or self.tree.root.has_error or len(self.found) >= MAX_EXPORTS

    def add(self, name: str, place: Node, value: Value) -> None:
        """The first that says something counts: TypeScript's output begins with `exports.handler = void 0`."""
        before = self.found.get(name)
        if name == "__esModule" or (before is None and len(self.found) >= MAX_EXPORTS):
            return
        if before is None or (before.parameters is None and not before.made):
            made = self.export(name, place, value)
            self.found[name] = made if before is None or made.parameters is not None or made.made else before

    def export(self, name: str, place: Node, value: Value) -> Export:
        if value.imported is not None and (other := self._other(value.imported.specifier)):
            defined = other.export(value.imported.name or "default")
            if defined is not None:
                return replace(defined, name=name)
        return Export(name, self.tree.source, self.tree.code, self.tree.line(place), value.parameters, value.made)

    # ES modules

    def _statement(self, node: Node) -> None:
        tokens = {each.type for each in node.children if not each.is_named}
        specifier = self.tree.string(node.child_by_field_name("source"))
        declaration, value = node.child_by_field_name("declaration"), node.child_by_field_name("value")
        clause = next(
            (each for each in node.named_children if each.type in ("export_clause", "namespace_export")), None
        )
        if "type" in tokens:
            return
        if clause is not None:
            self._listed(clause, specifier)
        elif specifier is not None:
            self._all_of(Imported(specifier), besides=("default",))
        elif "default" in tokens or "=" in tokens:
            whole = declaration or value or next(iter(node.named_children), None)
            self._whole(node, whole)
        elif declaration is not None:
            self._declared(declaration)

    def _listed(self, clause: Node, specifier: str | None) -> None:
        if clause.type == "namespace_export":
            self.add(self.tree.text(clause.named_children[0]), clause, Value(plain=True))
            return
        for each in clause.named_children:
            if each.type != "export_specifier" or any(token.type == "type" for token in each.children):
                continue
            name, alias = each.child_by_field_name("name"), each.child_by_field_name("alias")
            own = self.tree.text(name)
            value = self.tree.named(own) if specifier is None else Value(imported=Imported(specifier, own))
            self.add(self.tree.text(alias or name).strip("'\""), each, value)

    def _declared(self, declaration: Node) -> None:
        if declaration.type in ("lexical_declaration", "variable_declaration"):
            for each in declaration.named_children:
                name = each.child_by_field_name("name")
                if name is not None and name.type == "object_pattern":
                    for part in name.named_children:
                        self.add(self.tree.text(part.child_by_field_name("value") or part), part, Value())
                elif name is not None:
                    self.add(self.tree.text(name), each, self.tree.value(each.child_by_field_name("value")))
        elif declaration.type not in ("interface_declaration", "type_alias_declaration", "ambient_declaration"):
            name = declaration.child_by_field_name("name")
            if name is not None:
                self.add(self.tree.text(name), declaration, self.tree.value(declaration))

    # CommonJS

    def _is_exports(self, node: Node | None) -> bool:
        """`exports`, `module.exports`, a name for it, or an assignment to one of them."""
        node = unwrapped(node)
        if node is None:
            return False
        if node.type == "assignment_expression":
            return self._is_exports(node.child_by_field_name("left"))
        if node.type == "identifier":
            name = self.tree.text(node)
            return name in self.aliases or (name == "exports" and self._is_own(node))
        return self._is_module_exports(node)

    def _is_module_exports(self, node: Node | None) -> bool:
        if node is None or node.type not in ("member_expression", "subscript_expression"):
            return False
        owner, name = self._member(node)
        return name == "exports" and owner is not None and self.tree.text(owner) == "module" and self._is_own(owner)

    def _is_own(self, node: Node) -> bool:
        """Not the parameter of a function around it: a bundle has modules inside, with exports of their own."""
        name, around = self.tree.text(node), node.parent
        while around is not None:
            if around.child_by_field_name("parameters") is not None and name in self.tree.parameters(around):
                return False
            around = around.parent
        return True

    def _member(self, node: Node) -> tuple[Node | None, str | None]:
        """Owner and name of `owner.name` and `owner["name"]`; a name that is computed is None."""
        owner = node.child_by_field_name("object")
        if node.type == "member_expression":
            return owner, self.tree.text(node.child_by_field_name("property"))
        return owner, self.tree.string(node.child_by_field_name("index"))

    def _name_aliases(self) -> None:
        """`const api = module.exports = {}`; `module.exports = handlers`, where that is an object."""
        for each in self.tree.of("variable_declarator"):
            if self._is_exports(each.child_by_field_name("value")):
                self.aliases.add(self.tree.text(each.child_by_field_name("name")))
        for each in self.tree.of("assignment_expression"):
            right = unwrapped(each.child_by_field_name("right"))
            whole = right is not None and right.type == "identifier"
            if whole and self._is_module_exports(each.child_by_field_name("left")):
                value = self.tree.value(right)
                if value.members is not None:
                    self.aliases.add(self.tree.text(right))

    def _assignment(self, node: Node) -> None:
        left, right = unwrapped(node.child_by_field_name("left")), node.child_by_field_name("right")
        if left is None or left.type not in ("member_expression", "subscript_expression"):
            return
        if self._is_module_exports(left):
            self._whole(node, right)
            return
        owner, name = self._member(left)
        if self._is_exports(owner):
            if name is None:
                self.open = True
            else:
                self.add(name, node, self.tree.value(right))

    def _whole(self, place: Node, node: Node | None) -> None:
        """`module.exports = …`: an object's members are exports; anything else is the default one."""
        value = self.tree.value(node)
        if value.members is not None:
            self._members(value.members)
        elif value.imported is not None and not value.imported.name:
            self._all_of(value.imported)
        elif not (node is not None and self._is_exports(node)):
            self.add("default", place, value)
            self.open = self.open or not value.known

    def _members(self, node: Node) -> None:
        for name, value, place in self.tree.members(node):
            self.add(name, place, self.tree.value(value))
        for each in node.named_children:
            if each.type == "spread_element":
                self._merge(next(iter(each.named_children), None))
            elif (key := each.child_by_field_name("key")) is not None and key.type == "computed_property_name":
                self.open = True

    def _merge(self, node: Node | None) -> None:
        """What `...node` and `Object.assign(exports, node)` bring."""
        value = self.tree.value(node)
        if value.members is not None:
            self._members(value.members)
        elif value.imported is not None and not value.imported.name:
            self._all_of(value.imported)
        else:
            self.open = True

    def _all_of(self, imported: Imported, besides: tuple[str, ...] = ()) -> None:
        other = self._other(imported.specifier)
        for export in other.exports if other else ():
            if export.name not in besides:
                self.found.setdefault(export.name, export)
        self.open = self.open or other is None or not other.complete

    def _call(self, node: Node) -> None:
        """Functions that are handed the exports object."""
        given = arguments(node)
        at = next((index for index, each in enumerate(given) if self._is_exports(each)), None)
        if at is None:
            return
        called = self.tree.text(node.child_by_field_name("function"))
        rest = given[at + 1 :]
        if called == "Object.assign":
            for each in rest:
                self._merge(each)
        elif called == "Object.defineProperty" and len(rest) == 2 and (name := self.tree.string(rest[0])):
            self.add(name, node, self._property(rest[1]))
        elif called.rpartition(".")[2] in _COPIES and (copied := self.tree.value(first_argument(node)).imported):
            self._all_of(copied, besides=("default",))
        elif called == "Object.defineProperties" or called.rpartition(".")[2] in _LISTS:
            self._properties(rest)
        elif called not in ("Object.freeze", "Object.seal", "Object.keys"):
            self.open = True

    def _properties(self, given: list[Node]) -> None:
        listed = self.tree.value(given[0]).members if given else None
        for name, value, place in self.tree.members(listed) if listed is not None else ():
            self.add(name, place, self._property(value))
        self.open = self.open or listed is None

    def _property(self, node: Node) -> Value:
        """A property's description, or the function that gives its value."""
        value = self.tree.value(node)
        parts = {name: part for name, part, _ in self.tree.members(value.members)} if value.members else {}
        if "value" in parts:
            return self.tree.value(parts["value"])
        return self.tree.value(self._given(parts.get("get", node)))

    def _given(self, function: Node | None) -> Node | None:
        """What a getter returns."""
        function = unwrapped(function)
        body = function.child_by_field_name("body") if function is not None else None
        if body is None or body.type != "statement_block":
            return body
        returned = (each for each in body.named_children if each.type == "return_statement")
        return next((each.named_children[0] for each in returned if each.named_children), None)

    # Other files

    def _other(self, specifier: str) -> Script | None:
        """The module of the folder that a relative specifier names; None where it is none, or being read already."""
        if not specifier.startswith((".", "/")) or len(self.seen) >= MAX_FILES:
            return None
        for name in _names(self.tree.source.name, specifier):
            if name in self.seen:
                return None
            source = read_source(self.folder, name)
            if source is not None:
                self.seen.add(name)
                try:
                    return _script(source, self.folder, self.seen)
                finally:
                    self.seen.discard(name)
        return None


def _names(importer: str, specifier: str) -> Iterator[str]:
    """Where `./lib/x` may lie. TypeScript names the file that a `.ts` will be: `./x.js`."""
    path = normpath(str(PurePosixPath(importer).parent / specifier))
    if path.startswith(("../", "/")):
        return
    yield path
    yield from (f"{path}{suffix}" for suffix in SUFFIXES)
    yield from (f"{path}/index{suffix}" for suffix in SUFFIXES)
    if path.endswith((".js", ".mjs", ".cjs")):
        stem, _, suffix = path.rpartition(".")
        yield f"{stem}.{suffix.replace('js', 'ts')}"
