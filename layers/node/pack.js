// The modules of one load, packed: their sources, V8's compiled code and how each `require` resolved. Written once, by
// a load at build (warm.js), and read by every first load in an instance.
//
// Loading a hundred modules costs Node several file system calls a module, a look for package.json a folder, and a
// cache file each. All of that has the same outcome every time, since a bundle never changes: here it is two reads.
// The modules stay what they are: real Module objects under their own file names, with stacks that name those.
'use strict';

const fs = require('fs');
const Module = require('module');
const path = require('path');
const vm = require('vm');

const INDEX = 'modules.json';
const BYTES = 'modules.bin';
const FORMAT = `1 ${process.version} ${process.arch}`;
// Node's own wrapper. The first line's columns are corrected by its length.
const [HEAD, TAIL] = Module.wrapper;
const LINK = '\0'; // between the file that requires and what it asks for

const resolveFilename = Module._resolveFilename;
const loadJs = Module._extensions['.js'];
const loadJson = Module._extensions['.json'];
const compile = Module.prototype._compile;
const { wrap } = Module;

function script(source, filename, cachedData) {
  return new vm.Script(HEAD + source + TAIL, {
    filename,
    columnOffset: -HEAD.length,
    cachedData,
  });
}

/** Run a compiled module as Node does. */
function run(compiled, module, filename) {
  const body = compiled.runInThisContext();
  Reflect.apply(body, module.exports, [module.exports, requireOf(module), module, filename, path.dirname(filename)]);
}

/** The `require` that a module gets. */
function requireOf(module) {
  const require = function require(id) {
    return module.require(id);
  };
  require.resolve = (request, options) => Module._resolveFilename(request, module, false, options);
  require.resolve.paths = (request) => Module._resolveLookupPaths(request, module);
  require.main = process.mainModule;
  require.extensions = Module._extensions;
  require.cache = Module._cache;
  return require;
}

/** Whether somebody transforms sources (a transpiler, a coverage tool): then a packed one is not what would run. */
const isHooked = (module) => module._compile !== compile || Module.wrap !== wrap;

/** Whether a file is the agent's. Another release's is another file under that name: a bundle must not hold it. */
const isOwn = (filename) => filename.startsWith(__dirname + path.sep);

/** Note what is loaded from now on. `write(folder)` puts the pack there. */
function record() {
  const scripts = new Map();
  const texts = new Map();
  const resolved = {};
  Module._resolveFilename = function (request, parent, isMain, options) {
    const filename = resolveFilename.call(this, request, parent, isMain, options);
    if (parent?.filename && !isOwn(parent.filename) && !options && path.isAbsolute(filename)) resolved[parent.filename + LINK + request] = filename;
    return filename;
  };
  Module._extensions['.js'] = function (module, filename) {
    const source = isHooked(module) || isOwn(filename) ? undefined : commonjs(filename);
    if (source === undefined) return loadJs(module, filename);
    let compiled;
    try {
      compiled = script(source, filename);
    } catch {
      return loadJs(module, filename); // an ES module, a first line for the shell, or an error for Node to tell
    }
    scripts.set(filename, { source, compiled });
    return run(compiled, module, filename);
  };
  Module._extensions['.json'] = function (module, filename) {
    texts.set(filename, fs.readFileSync(filename, 'utf8'));
    return loadJson(module, filename);
  };
  return (folder) => write(folder, scripts, texts, resolved);
}

/**
 * The source of a file that is CommonJS by its name and its package's `type`; undefined for any other, and for one that
 * may import dynamically: only Node's own loader can give a script that.
 */
function commonjs(filename) {
  const extension = path.extname(filename);
  if (extension !== '.cjs' && (extension !== '.js' || packageType(path.dirname(filename)) === 'module')) return undefined;
  const source = fs.readFileSync(filename, 'utf8');
  if (/\bimport\b/.test(source)) return undefined;
  return source.charCodeAt(0) === 0xfeff ? source.slice(1) : source;
}

function packageType(folder) {
  try {
    return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).type ?? 'commonjs';
  } catch {
    const above = path.dirname(folder);
    return above === folder || path.basename(folder) === 'node_modules' ? 'commonjs' : packageType(above);
  }
}

function write(folder, scripts, texts, resolved) {
  const parts = [];
  let at = 0;
  const put = (bytes) => {
    parts.push(bytes);
    at += bytes.length;
    return [at - bytes.length, at];
  };
  const modules = {};
  for (const [filename, { source, compiled }] of scripts) modules[filename] = [...put(Buffer.from(source)), ...put(compiled.createCachedData())];
  const json = {};
  for (const [filename, text] of texts) json[filename] = put(Buffer.from(text));
  fs.writeFileSync(path.join(folder, BYTES), Buffer.concat(parts));
  fs.writeFileSync(path.join(folder, INDEX), JSON.stringify({ format: FORMAT, modules, json, resolved }));
}

/** What the pack in `folder` holds; undefined where there is none for this Node. */
function read(folder) {
  try {
    const index = JSON.parse(fs.readFileSync(path.join(folder, INDEX), 'utf8'));
    if (index.format !== FORMAT) return undefined;
    return { ...index, bytes: fs.readFileSync(path.join(folder, BYTES)), compiled: {} };
  } catch {
    return undefined;
  }
}

function packedScript({ modules, bytes }, filename) {
  const [start, middle, , end] = modules[filename];
  return script(bytes.utf8Slice(start, middle), filename, bytes.subarray(middle, end));
}

let ahead; // what was read before the load was known

/** Read the pack of the function to come and make its scripts, of which nothing is run. Damage costs time only. */
function readAhead(folder) {
  const pack = read(folder);
  try {
    for (const filename of Object.keys(pack?.modules ?? {})) pack.compiled[filename] = packedScript(pack, filename);
    ahead = pack;
  } catch {
    ahead = undefined;
  }
}

/** Load from the pack in `folder` what it holds, or from the one that was read ahead. False where there is none. */
function use(folder) {
  const pack = ahead ?? read(folder);
  if (pack === undefined) return false;
  const { modules, json, resolved, bytes, compiled } = pack;
  Module._resolveFilename = function (request, parent, isMain, options) {
    const known = parent && !options ? resolved[parent.filename + LINK + request] : undefined;
    return known ?? resolveFilename.call(this, request, parent, isMain, options);
  };
  Module._extensions['.js'] = function (module, filename) {
    const packed = isHooked(module) ? undefined : modules[filename];
    if (packed === undefined) return loadJs(module, filename);
    return run(compiled[filename] ?? packedScript(pack, filename), module, filename);
  };
  Module._extensions['.json'] = function (module, filename) {
    const packed = json[filename];
    if (packed === undefined) return loadJson(module, filename);
    module.exports = JSON.parse(bytes.utf8Slice(...packed));
  };
  return true;
}

module.exports = { record, readAhead, use };
