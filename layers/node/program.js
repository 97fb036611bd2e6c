// Finds what a handler names and runs it: a main program, or an export of a module. Not the serving of it.
'use strict';

const fs = require('fs');
const http = require('http');
const Module = require('module');
const path = require('path');
const { pathToFileURL } = require('url');
const { eventServer } = require('./events.js');

const EXTENSIONS = ['.js', '.cjs', '.mjs', '.ts', '.cts', '.mts'];

const isProgram = (handler) => EXTENSIONS.includes(path.extname(handler));

/** Run a file as `node FILE` would: CommonJS or ESM, `require.main === module`. Throws what CommonJS throws. */
function runProgram(root, handler) {
  const file = path.resolve(root, handler);
  if (!fs.existsSync(file)) throw new Error(`there is no ${handler} in the function's folder (${listed(root)})`);
  process.argv = [process.execPath, file];
  Module.runMain(file);
}

/** Load `module.attr`. Resolves to `{server, kind}`; the server does not listen. */
async function loadExport(root, handler, load) {
  const dot = handler.lastIndexOf('.');
  const [name, attr] = [handler.slice(0, dot), handler.slice(dot + 1)];
  if (dot < 1 || !attr) throw new Error(`handler "${handler}" is neither a file nor module.attr`);
  const file = resolve(root, name);
  process.argv = [process.execPath, file];
  const exports = await importFile(root, file);
  const found = exports?.[attr] ?? exports?.default?.[attr];
  if (found === undefined) throw new Error(`${path.relative(root, file)} exports no "${attr}"; ${exported(exports)}`);
  return asServer(await found, handler, load);
}

function resolve(root, name) {
  const base = path.resolve(root, name);
  const candidates = [...EXTENSIONS.map((extension) => base + extension), path.join(base, 'index.js'), path.join(base, 'index.mjs')];
  const file = candidates.find((candidate) => fs.existsSync(candidate));
  if (!file) throw new Error(`there is no module ${name} in the function's folder (${listed(root)})`);
  return file;
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

/** The http.Server for what was found: a server, an app of a known framework, a (req, res) function, or a handler. */
async function asServer(found, handler, load) {
  if (found instanceof http.Server) return { server: found, kind: 'web' };
  if (found?.server instanceof http.Server && typeof found.ready === 'function') {
    await found.ready(); // Fastify
    return { server: found.server, kind: 'web' };
  }
  if (typeof found?.callback === 'function' && Array.isArray(found.middleware)) {
    return { server: http.createServer(found.callback()), kind: 'web' }; // Koa
  }
  if (typeof found !== 'function') throw new Error(`${handler} is a ${typeof found}, not a function or an app`);
  if (takesRequest(found)) return { server: http.createServer(found), kind: 'web' };
  return { server: eventServer(found, load), kind: 'event' };
}

/** Told by an app's own method, or by the names that everyone gives the two parameters. */
function takesRequest(found) {
  if (typeof found.handle === 'function') return true; // Express, Connect
  const parameters = /^(?:async\s*)?(?:function\b[^(]*)?(?:\*\s*)?\w*\s*\(\s*([^)]*)/.exec(Function.prototype.toString.call(found))?.[1] ?? '';
  return /^_?(req|request)\s*,\s*_?(res|response)\b/i.test(parameters);
}

module.exports = { isProgram, runProgram, loadExport, takesRequest };
