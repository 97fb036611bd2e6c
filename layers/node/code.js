// The module that a handler names, and what it exports. Not what its exports are for.
'use strict';

const fs = require('fs');
const Module = require('module');
const path = require('path');
const { pathToFileURL } = require('url');

const EXTENSIONS = ['.js', '.cjs', '.mjs', '.ts', '.cts', '.mts'];
const DEFAULT = 'default'; // the attr of a handler that names a file

const isFile = (handler) => EXTENSIONS.includes(path.extname(handler));

class Code {
  /** `handler`: `module.attr`, or a file, which stands for what it exports by default. Throws where there is no such file. */
  constructor(root, handler) {
    this.root = root;
    this.handler = handler;
    if (isFile(handler)) {
      this.attr = DEFAULT;
      this.file = existing(root, handler);
    } else {
      const dot = handler.lastIndexOf('.');
      const [name, attr] = [handler.slice(0, dot), handler.slice(dot + 1)];
      if (dot < 1 || !attr) throw new Error(`handler "${handler}" is neither a file nor module.attr`);
      this.attr = attr;
      this.file = resolved(root, name);
    }
  }

  /** Load the module, once; its exports. Throws what it throws. */
  async exports() {
    this.loaded ??= importFile(this.root, this.file);
    return this.loaded;
  }

  /** What the handler names. Throws where the module exports no such thing. */
  async found() {
    const exports = await this.exports();
    const found = pick(exports, this.attr);
    if (found === undefined) throw this.missing(exports);
    return found;
  }

  /** The same, where only a function will do. */
  async callable() {
    const found = await this.found();
    if (typeof found !== 'function') throw new Error(`${this.handler} is ${nature(found)}, not a function`);
    return found;
  }

  missing(exports) {
    return new Error(`${path.relative(this.root, this.file)} exports no "${this.attr}"; ${exported(exports)}`);
  }

  /** Load a package that the function's own code could load; undefined where it is not installed. */
  dependency(name) {
    const require = Module.createRequire(this.file);
    try {
      require.resolve(name);
    } catch {
      return undefined;
    }
    return require(name);
  }
}

/** An export by its name. The default one is `module.exports` itself where that holds none. */
function pick(exports, attr) {
  if (attr === DEFAULT) return transpiled(exports?.default ?? own(exports));
  return exports?.[attr] ?? exports?.default?.[attr];
}

/** A module that a compiler made of an ES module, imported by one: its default export is inside. */
const transpiled = (value) => (value?.__esModule && value.default ? value.default : value);

/** `module.exports`, where something was put there: an untouched one is an empty object. */
const own = (exports) => (typeof exports === 'object' && exports !== null && Object.keys(exports).length === 0 ? undefined : exports);

function existing(root, handler) {
  const file = path.resolve(root, handler);
  if (!fs.existsSync(file)) throw new Error(`there is no ${handler} in the function's folder (${listed(root)})`);
  return mapped(compiled(file));
}

/** What the build made of TypeScript beside it; the file itself where it made nothing. */
function compiled(file) {
  const made = file.replace(/\.([mc]?)tsx?$/, '.$1js');
  return fs.existsSync(made) ? made : file;
}

/** The same file. Where it was made of TypeScript, stacks name lines of that. */
function mapped(file) {
  if (fs.existsSync(file.replace(/\.([mc]?)js$/, '.$1ts'))) process.setSourceMapsEnabled(true);
  return file;
}

function resolved(root, name) {
  const base = path.resolve(root, name);
  const candidates = [...EXTENSIONS.map((extension) => base + extension), path.join(base, 'index.js'), path.join(base, 'index.mjs')];
  const file = candidates.find((candidate) => fs.existsSync(candidate));
  if (!file) throw new Error(`there is no module ${name} in the function's folder (${listed(root)})`);
  return mapped(file);
}

async function importFile(root, file) {
  const require = Module.createRequire(path.join(root, 'package.json'));
  try {
    return require(file);
  } catch (error) {
    // A module with top-level await, or a Node that does not require ES modules.
    if (error?.code !== 'ERR_REQUIRE_ASYNC_MODULE' && error?.code !== 'ERR_REQUIRE_ESM') throw error;
    return import(pathToFileURL(file).href);
  }
}

const listed = (root) => `files: ${fs.readdirSync(root).filter((name) => !name.startsWith('.')).slice(0, 20).join(', ') || 'none'}`;

function exported(exports) {
  const names = Object.keys(exports?.default instanceof Object && !('__esModule' in exports) ? { ...exports.default, ...exports } : exports ?? {});
  return names.length ? `exports: ${names.join(', ')}` : 'it exports nothing';
}

const kind = (value) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

/** A value's kind for a sentence: `an array`, `a number`, `null`. */
function nature(value) {
  const word = kind(value);
  return ['null', 'undefined'].includes(word) ? word : `${/^[aeiou]/.test(word) ? 'an' : 'a'} ${word}`;
}

module.exports = { Code, existing, isFile, kind, nature };
