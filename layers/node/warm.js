// Makes the caches of a function's first load: loads it once, as the agent would, serves nothing, writes and leaves.
'use strict';

const Module = require('module');
const { preload } = require('./builtins.js');
const { captureListen } = require('./capture.js');
const pack = require('./pack.js');
const program = require('./program.js');

// Where a load waits for what is not there (a database, the network), what was compiled by then is worth keeping.
const LONGEST_MS = 5_000;

const [root, handler, cache, contract] = process.argv.slice(2);
const load = { function: 'warm', root, handler, contract: contract || undefined, timeout_ms: LONGEST_MS, memory_mb: 256, env: {} };

/** Whatever became of the load: the caches hold the modules that it came to. CommonJS goes to the pack, the rest to Node's. */
function leave() {
  try {
    write(cache);
    Module.flushCompileCache();
  } finally {
    process.reallyExit(0);
  }
}

preload();
process.chdir(root);
process.env.PORT = '3000';
Module.enableCompileCache(cache);
const write = pack.record();
process.on('uncaughtException', leave);
process.on('exit', leave);
setTimeout(leave, LONGEST_MS);
if (program.isProgram(load)) {
  captureListen(3000, leave);
  program.runProgram(root, handler);
} else {
  program.loadExport(load).then(leave, leave);
}
