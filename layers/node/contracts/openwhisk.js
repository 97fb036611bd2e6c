// Apache OpenWhisk's actions, called as web actions: main(params) → a result. Not sequences, nor raw HTTP handling.
//
// github.com/apache/openwhisk: docs/webactions.md (parameters, results, errors), docs/actions-nodejs.md (actions, modules),
// docs/actions.md ("Accessing action metadata within the action body": __OW_*).
'use strict';

const fs = require('fs');
const Module = require('module');
const path = require('path');
const { BadResponse, EMPTY, assembled, clientHeaders, encoded, exchangeServer, invocation, isJson, named, split } = require('../exchange.js');
const { kind, nature } = require('../code.js');
const { boxed, isBinary } = require('./request.js');

const NAMESPACE = 'guest';
const RESERVED = ['__ow_method', '__ow_headers', '__ow_path', '__ow_user', '__ow_query', '__ow_body'];
const FORM = /^application\/x-www-form-urlencoded\b/i;
const ES_MODULE = /^\s*(import|export)\b/m;
const HTML = 'text/html; charset=utf-8';
// Whole groups of four, as encoders write it: what is JSON in base64 on the platform is told by this.
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function environment(load) {
  return {
    __OW_ACTION_NAME: `/${NAMESPACE}/${load.function}`,
    __OW_ACTION_VERSION: load.version,
    __OW_NAMESPACE: NAMESPACE,
  };
}

async function serve(code, load) {
  const main = await action(code);
  return exchangeServer(async (request, body) => {
    // The platform runs one activation at a time in a process. Where `concurrency` is more than 1, these are the last one's.
    const { id, deadlineMs } = invocation(load, request);
    Object.assign(process.env, { __OW_ACTIVATION_ID: id, __OW_DEADLINE: String(deadlineMs) });
    const params = toParams(request, body);
    if (typeof params === 'string') return { status: 400, ...encoded({ error: params }) };
    return toResponse(await result(main, params));
  });
}

/** An action of one file need not export its function: a top-level one of the handler's name does. */
async function action(code) {
  const forget = exposing(code.file, code.attr);
  try {
    await code.exports();
  } finally {
    forget();
  }
  return code.callable();
}

/** Until `forget()`, a CommonJS module in `file` also exports its own function `name`, where it exports none. */
function exposing(file, name) {
  const load = Module._extensions['.js'];
  Module._extensions['.js'] = function loadExposing(module, filename) {
    if (filename !== file || path.extname(file) !== '.js' || !/^[A-Za-z_$][\w$]*$/.test(name)) return load(module, filename);
    const source = fs.readFileSync(file, 'utf8');
    if (ES_MODULE.test(source)) return load(module, filename);
    return module._compile(`${source}\n;if (typeof ${name} === 'function') module.exports.${name} ??= ${name};`, filename);
  };
  return () => {
    Module._extensions['.js'] = load;
  };
}

/** A value that a promise rejected with is an application error, as the platform has it; what is thrown is a crash. */
async function result(main, params) {
  const returned = main(params);
  try {
    return (await returned) ?? {};
  } catch (error) {
    if (error instanceof Error) throw error;
    return { error: error ?? {} };
  }
}

// --- in ---

/** Query and body as one object, the body's winning; a text where the request may not be passed on. */
function toParams(request, body) {
  const [where, query] = split(request.url, '?');
  const headers = clientHeaders(request);
  const asked = named(new URLSearchParams(query));
  let given;
  try {
    given = fromBody(body, headers['content-type']);
  } catch (error) {
    return `The request content was malformed: ${error.message}`;
  }
  const taken = given.opaque ? [] : Object.keys(given.fields);
  const own = [...Object.keys(asked), ...taken].find((name) => RESERVED.includes(name));
  if (own) return `Request defines parameters that are not allowed (e.g., reserved properties): ${own}`;
  return {
    __proto__: null, // clients choose the names
    __ow_method: request.method.toLowerCase(),
    __ow_headers: headers,
    __ow_path: where === '/' ? '' : where,
    ...asked,
    ...given.fields,
  };
}

function fromBody(bytes, type) {
  if (bytes.length === 0) return { fields: {} };
  if (FORM.test(type ?? '')) return { fields: named(new URLSearchParams(bytes.toString('utf8'))) };
  if (isJson(type)) {
    const value = JSON.parse(bytes.toString('utf8'));
    return kind(value) === 'object' ? { fields: value } : { fields: { __ow_body: value }, opaque: true };
  }
  return { fields: { __ow_body: boxed(bytes, type).body }, opaque: true };
}

// --- out ---

/** A response where the result has a part of one, else the result as JSON; an `error` stands in its place. */
function toResponse(result) {
  if (kind(result) !== 'object' && !Array.isArray(result)) throw new BadResponse(`the action returned ${nature(result)}, not an object`);
  if (result.error === undefined) return isResponse(result) ? http(result) : { status: 200, ...encoded(result) };
  if (kind(result.error) === 'object' && isResponse(result.error)) return http(result.error);
  return { status: 502, ...encoded({ error: result.error }) }; // as a blocking activation tells of it
}

const isResponse = (value) => ['statusCode', 'headers', 'body'].some((name) => name in value);

function http({ statusCode, headers, body }) {
  const empty = body === undefined || body === null || body === '';
  const status = statusCode === undefined ? (empty ? 204 : 200) : Number(statusCode);
  if (headers !== undefined && kind(headers) !== 'object') throw new BadResponse(`headers is ${nature(headers)}, not an object`);
  const absent = Object.entries(headers ?? {}).find(([, value]) => value === null)?.[0];
  if (absent !== undefined) throw new BadResponse(`the header ${absent} is null, which is no value of a header`);
  const type = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'content-type')?.[1];
  return assembled(status, headers ?? {}, empty ? { headers: {}, body: EMPTY } : content(body, type));
}

/** A string is text, but base64 under a type of bytes (or JSON); anything else is JSON. */
function content(body, type) {
  if (typeof body !== 'string') {
    if (type !== undefined && !isJson(type)) throw new BadResponse(`body is ${nature(body)}, which content-type ${type} cannot carry`);
    return encoded(body);
  }
  const boxedInBase64 = isBinary(type) || (isJson(type) && BASE64.test(body));
  return { headers: { 'content-type': HTML }, body: Buffer.from(body, boxedInBase64 ? 'base64' : 'utf8') };
}

module.exports = { environment, serve };
