// Runs what a handler names: a main program, or an export of a module under its contract. Not the serving of it.
'use strict';

const fs = require('fs');
const http = require('http');
const Module = require('module');
const path = require('path');
const { Code, existing, isFile, nature } = require('./code.js');
const agentModules = require('./agentmodules.js');

// Each has a file of its own name in contracts/, which nothing loads but a function of that contract:
// `serve(code, load)` resolves to an http.Server that does not listen; `environment(load)` is what its platform sets.
const PLATFORMS = ['lambda', 'fc-event', 'fc-http', 'fc3-http', 'functions-framework-http', 'functions-framework-cloudevent', 'openfaas', 'openwhisk', 'cloudevents'];
const OWN = [undefined, 'web', 'event'];

/** Whether the handler is a file to run as the main program: with most contracts it is a module, whatever its form. */
const isProgram = (load) => isFile(load.handler) && (load.contract ?? 'web') === 'web';

/** Run a file as `node FILE` would: CommonJS or ESM, `require.main === module`. Throws what CommonJS throws. */
function runProgram(root, handler) {
  const file = existing(root, handler);
  process.argv = [process.execPath, file];
  Module.runMain(file);
}

/** A main program ran to its end: the server of an app that it exports (by default, or as `app` or `server`), or undefined. */
async function exportedApp({ root, handler }) {
  const code = new Code(root, handler);
  const exports = await code.exports(); // loaded already, and not run again
  for (const found of [await code.found().catch(() => undefined), exports?.app, exports?.server]) {
    const server = await agentModules.load('apps.js').appServer(found);
    if (server) return server;
  }
  return undefined;
}

/** Load `module.attr` under its contract. Resolves to `{server, kind}`; the server does not listen. */
async function loadExport(load) {
  if (PLATFORMS.includes(load.contract)) return { server: await platform(load), kind: 'event' };
  if (!OWN.includes(load.contract)) throw new Error(`the Node agent knows no contract "${load.contract}"`);
  const code = new Code(load.root, load.handler);
  if (load.initializer) throw new Error(`the contract ${load.contract ?? 'event'} has no initializer`);
  process.argv = [process.execPath, code.file];
  return serverOf(await code.found(), load);
}

async function platform(load) {
  const contract = agentModules.load(`contracts/${load.contract}.js`);
  for (const [name, value] of Object.entries(contract.environment?.(load) ?? {})) process.env[name] ??= value;
  if (load.initializer && !contract.initializes) throw new Error(`the contract ${load.contract} has no initializer`);
  const code = new Code(load.root, load.handler);
  process.argv = [process.execPath, code.file];
  return contract.serve(code, load);
}

/** The http.Server for what was found: as the contract says; without one, an app where it has the shape of an app. */
async function serverOf(found, { handler, contract, ...load }) {
  const app = contract === 'event' ? undefined : await agentModules.load('apps.js').appServer(found);
  if (app) return { server: app, kind: 'web' };
  const wanted = { web: 'a web app', event: 'a function' }[contract] ?? 'a function or an app';
  if (typeof found !== 'function') throw new Error(`${handler} is ${nature(found)}, not ${wanted}`);
  if (contract === 'web') return { server: http.createServer(found), kind: 'web' };
  return { server: agentModules.load('events.js').eventServer(found, load), kind: 'event' };
}

module.exports = { exportedApp, isProgram, runProgram, loadExport };
