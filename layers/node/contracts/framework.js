// Functions of Google's Functions Framework: the function's own copy of the framework serves them. Not a copy of it.
//
// Signatures: github.com/GoogleCloudPlatform/functions-framework-nodejs (README, docs/http.md, docs/cloudevents.md); its
// published `testing` entry makes the server. Environment: cloud.google.com/functions/docs/configuring/env-var.
'use strict';

const { AsyncLocalStorage } = require('async_hooks');
const { fail } = require('../exchange.js');

const PACKAGE = '@google-cloud/functions-framework';
const NAMES = { http: 'http', cloudevent: 'cloudEvent' }; // signature type → what registers such a function

/** `environment` and `serve` of the contract for one signature type. */
function contract(type) {
  return { environment: (load) => environment(load, type), serve: (code) => serve(code, type) };
}

function environment(load, type) {
  return {
    FUNCTION_TARGET: load.handler.slice(load.handler.lastIndexOf('.') + 1),
    FUNCTION_SIGNATURE_TYPE: type,
    K_SERVICE: load.function,
    K_REVISION: load.version,
    K_CONFIGURATION: load.function,
  };
}

async function serve(code, type) {
  await code.exports(); // this is what registers functions
  const framework = installed(code, type);
  const name = code.attr;
  const handler = framework.getFunction(name) ?? (await exported(code, framework, type));
  const responses = new AsyncLocalStorage();
  framework[NAMES[type]](name, told(handler, type, responses));
  const server = framework.getTestServer(name);
  const { emit } = server;
  server.emit = function emitKept(event, ...rest) {
    return event === 'request' ? responses.run(rest[1], () => emit.call(this, event, ...rest)) : emit.call(this, event, ...rest);
  };
  return server;
}

/** The framework as the function's code sees it: what it registered is in there. */
function installed(code, type) {
  const framework = code.dependency(PACKAGE);
  if (!framework) throw new Error(`the contract functions-framework-${type} needs ${PACKAGE}, which is not installed: npm install ${PACKAGE}`);
  const testing = code.dependency(`${PACKAGE}/testing`);
  if (!testing?.getTestServer) throw new Error(`this version of ${PACKAGE} is too old: version 3.1 or later has what serves a function`);
  return { http: framework.http, cloudEvent: framework.cloudEvent, getFunction: testing.getFunction, getTestServer: testing.getTestServer };
}

async function exported(code, framework, type) {
  try {
    return await code.callable();
  } catch (error) {
    error.message += `, and no function is registered by that name (functions.${NAMES[type]}('${code.attr}', …))`;
    throw error;
  }
}

/**
 * The handler with the same parameters, as the framework counts them. What it throws is answered before the framework
 * hears of it: that answers with a plain 500, which nobody could tell from the function's own.
 */
function told(handler, type, responses) {
  const tell = (error) => {
    const response = responses.getStore();
    if (response && !response.headersSent) fail(response, error);
    if (type !== 'http') throw error; // or the framework would answer a second time, as if all were well
  };
  const wrapped = function (...args) {
    const callback = args.at(-1);
    if (type === 'cloudevent' && handler.length > 1 && typeof callback === 'function') {
      args[args.length - 1] = (error, result) => {
        const response = error ? responses.getStore() : undefined;
        if (response && !response.headersSent) fail(response, error);
        else callback(error, result);
      };
    }
    try {
      const returned = handler.apply(this, args);
      return typeof returned?.then === 'function' ? returned.then((result) => result, tell) : returned;
    } catch (error) {
      return tell(error);
    }
  };
  return Object.defineProperty(wrapped, 'length', { value: handler.length });
}

module.exports = { contract };
