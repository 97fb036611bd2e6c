"""What JavaScript and TypeScript files export, in the forms that people, TypeScript and bundlers write."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.config.detect.javascript import Script, read_script
from fnctl.config.detect.source import Source, read_source
from tests.unit.config.detect.folders import only, places, write

RUN = "async function run(event, context) {}\n"
FORMS = {
    "assigned to exports": ("index.js", RUN + "Object.assign(exports, { run })"),
    "assigned from a name": ("index.js", RUN + "const all = { run }\nObject.assign(module.exports, all, {})"),
    "a key in quotes": ("index.js", "exports['run'] = (event, context) => 1"),
    "a defined property": ("index.js", RUN + "Object.defineProperty(exports, 'run', { value: run })"),
    "a getter": ("index.js", RUN + "Object.defineProperty(exports, 'run', { get: function () { return run; } })"),
    "defined properties": ("index.js", RUN + "Object.defineProperties(exports, { run: { get: () => run } })"),
    "typescript's output": ("index.js", f'"use strict";\nexports.run = void 0;\nexports.run = run;\n{RUN}'),
    "esbuild's output": ("index.js", f"{RUN}module.exports = pack(all);\n0 && (module.exports = {{ run }});"),
    "swc's output": ("index.js", RUN + "_export(exports, { run: function () { return run; } })"),
    "an object by name": ("index.js", RUN + "const handlers = { run }\nmodule.exports = handlers"),
    "added to the object": ("index.js", "const h = {}\nh.run = (event, context) => 1\nmodule.exports = h"),
    "a name for exports": ("index.js", "const self = module.exports = {}\nself.run = (event, context) => 1"),
    "spread": ("index.js", RUN + "const all = { run }\nmodule.exports = { ...all }"),
    "of an object": ("index.js", RUN + "const all = { run }\nexports.run = all.run"),
    "renamed": ("index.mjs", "const inner = (event, context) => 1\nexport { inner as run }"),
    "taken apart": ("index.mjs", "export const { run } = all"),
    "typed": ("index.ts", "export const run: Handler = async (event: E, context?: C): Promise<void> => {}"),
    "satisfies": ("index.ts", "export const run = (async (event: E, context) => {}) satisfies Handler"),
    "asserted": ("index.ts", "export const run = <Handler>((event, context) => 1)"),
    "overloaded": ("index.ts", "export function run(e: A): B\nexport function run(event: any, context?: any) {}"),
    "beside types": (
        "index.ts",
        f"export type A = 1\nexport interface B {{}}\nexport type {{ C }} from './c'\nexport {RUN}",
    ),
    "assigned as a whole": ("index.ts", RUN + "export = { run }"),
}


def read(folder: Path, files: dict[str, str], name: str) -> Script:
    source = read_source(write(folder, files), name)
    assert source is not None
    return read_script(source, folder)


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_exports(tmp_path: Path, form: str) -> None:
    name, text = FORMS[form]
    script = read(tmp_path, {name: text + "\n"}, name)
    assert [each.name for each in script.exports if each.name != "default"] == ["run"]
    if form != "taken apart":
        assert [each.parameters for each in script.exports if each.name == "run"] == [("event", "context")]


HANDED_ON = {
    "a name": "export { run } from './lib/run.js'",
    "everything": "export * from './lib/run.js'",
    "another name": "export { inner as run } from './lib/run.js'",
    "imported before": "import { run } from './lib/run.js'\nexport { run }",
    "the default one": "import run from './lib/run.js'\nexport { run }",
    "a namespace": "import * as lib from './lib/run.js'\nexport const run = lib.run",
    "required": "exports.run = require('./lib/run').run",
    "required and taken apart": "const { run } = require('./lib/run')\nmodule.exports = { run }",
    "required as a whole": "module.exports = require('./lib/run')",
    "required and spread": "module.exports = { ...require('./lib/run') }",
    "required and assigned": "Object.assign(exports, require('./lib/run'))",
    "typescript's star": "__exportStar(require('./lib/run'), exports)",
}


@pytest.mark.parametrize("way", HANDED_ON)
def test_what_another_file_defines(tmp_path: Path, way: str) -> None:
    """The handler is addressed where it is exported; its parameters and its evidence are those of the other file."""
    lib = "export async function run(event, context) {}\nexport { run as inner, run as default }\n"
    script = read(tmp_path, {"index.mjs": HANDED_ON[way] + "\n", "lib/run.js": lib}, "index.mjs")
    found = script.export("run")
    assert found is not None
    assert (found.parameters, found.source.name, found.line) == (("event", "context"), "lib/run.js", found.line)
    assert found.line <= 2


def test_a_handler_that_is_handed_on_is_told_by_the_file_that_defines_it(tmp_path: Path) -> None:
    finding = only(
        tmp_path,
        {
            "index.js": "export { handler } from './src/handler.js'\n",
            "src/handler.js": "// below\nexport const handler = async (event, context) => context.awsRequestId\n",
        },
    )
    assert (finding.handler, finding.contract) == ("index.handler", "lambda")
    assert places(finding) == ["src/handler.js:2"]


OPEN = {
    "a computed key": "for (const name of names) exports[name] = make(name)",
    "a factory": "module.exports = makeHandlers()",
    "another package": "module.exports = require('handlers')",
    "another package's all": "export * from 'handlers'",
    "handed to a function": "install(exports)\nexports.run = () => 1",
    "an object that is not here": "Object.assign(exports, loaded)",
    "spread of what is not here": "module.exports = { ...loaded, run: () => 1 }",
    "a broken file": "exports.run = (event) => { ((",
}


@pytest.mark.parametrize("text", OPEN.values(), ids=OPEN)
def test_what_only_a_run_would_tell_is_left_open(text: str, tmp_path: Path) -> None:
    assert not read_script(Source("index.js", text), tmp_path).complete


CLOSED = {
    "names": "exports.run = () => 1",
    "an object": "module.exports = { run() {} }",
    "a function": "module.exports = async (event) => 1",
    "modules": "export const run = () => 1\nexport default run",
    "frozen": "exports.run = () => 1\nObject.freeze(exports)",
}


@pytest.mark.parametrize("text", CLOSED.values(), ids=CLOSED)
def test_what_is_written_out_is_all_there_is(text: str, tmp_path: Path) -> None:
    assert read_script(Source("index.js", text), tmp_path).complete


def test_a_module_inside_of_a_bundle_exports_nothing_of_the_file(tmp_path: Path) -> None:
    text = "var all = { 1: (module, exports) => { exports.inner = () => 1 } }\nexports.run = () => 1\n"
    assert [each.name for each in read_script(Source("index.js", text), tmp_path).exports] == ["run"]


def test_files_that_hand_on_each_other_come_to_an_end(tmp_path: Path) -> None:
    files = {"a.mjs": "export * from './b.mjs'\nexport const a = 1\n", "b.mjs": "export * from './a.mjs'\n"}
    assert [each.name for each in read(tmp_path, files, "a.mjs").exports] == ["a"]


def test_a_file_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"run.js": "exports.run = (event) => 1\n"})
    script = read(tmp_path / "app", {"index.js": "exports.run = require('../run').run\n"}, "index.js")
    assert [each.parameters for each in script.exports] == [None]


def test_places_hold_behind_letters_of_several_bytes(tmp_path: Path) -> None:
    text = "// ä 漢字 🎉\nconst s = 'é🎉'; exports.run = (event) => 1 // ü\n"
    script = read_script(Source("index.js", text), tmp_path)
    assert len(script.code) == len(script.bare) == len(text)
    assert script.code.index("exports") == script.bare.index("exports") == text.index("exports")
