// Node's own modules that web apps load, loaded before any code of the user's is known. Not a list of packages.
'use strict';

const PRELOADED = [
  'assert', 'async_hooks', 'buffer', 'child_process', 'crypto', 'diagnostics_channel', 'dns', 'events', 'fs',
  'fs/promises', 'http', 'http2', 'https', 'module', 'net', 'os', 'path', 'perf_hooks', 'process',
  'querystring', 'readline', 'stream', 'stream/promises', 'string_decoder', 'timers', 'timers/promises', 'tls', 'tty',
  'url', 'util', 'v8', 'vm', 'worker_threads', 'zlib',
];

/** Load them all; what a Node version lacks or deprecates loudly is skipped. */
function preload() {
  const { emitWarning } = process;
  process.emitWarning = () => {}; // a deprecation is the user's to hear about, when the user's code asks for it
  for (const name of PRELOADED) {
    if (require('module').isBuiltin(name)) require(`node:${name}`);
  }
  // Made on first use, and every app uses them.
  void [globalThis.fetch, globalThis.URL, globalThis.Headers, globalThis.AbortController, globalThis.TextDecoder];
  process.emitWarning = emitWarning;
}

module.exports = { preload };
