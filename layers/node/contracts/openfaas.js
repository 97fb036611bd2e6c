// OpenFaaS's Node handlers: (event, context) of the HTTP templates, (context, callback) of the classic one.
//
// docs.openfaas.com/languages/node (node18 and later), github.com/openfaas/templates (template/node20, template/node).
'use strict';

const { BadResponse, EMPTY, assembled, asText, clientHeaders, encoded, exchangeServer, isJson, named, split } = require('../exchange.js');
const { answerOf } = require('./calling.js');
const { listedFields } = require('./request.js');

const FORM = /^application\/x-www-form-urlencoded\b/i;

class BadRequest extends Error {}

async function serve(code) {
  const handler = await code.callable();
  return isClassic(handler) ? classicServer(handler) : exchangeServer((request, body) => respond(handler, request, body));
}

/** Both templates' handlers have two parameters: only the second one's name tells them apart. */
function isClassic(handler) {
  const second = /^[^(]*\(\s*[\w$]+\s*,\s*([\w$]+)\s*\)/.exec(Function.prototype.toString.call(handler))?.[1];
  return handler.length === 2 && /^(callback|cb|done|next)$/i.test(second ?? '');
}

/** One call at a time, since each has the environment to itself: the platform starts a process for each. */
function classicServer(handler) {
  let before = Promise.resolve();
  return exchangeServer((request, body) => {
    const mine = before.then(() => classic(handler, request, body));
    before = mine.catch(() => {});
    return mine;
  });
}

/** The body as text; what comes back is the output. The rest of the request is in the environment. */
async function classic(handler, request, body) {
  const variables = httpVariables(request, body);
  Object.assign(process.env, variables);
  try {
    const result = await answerOf(handler, [body.toString('utf8')]);
    return { status: 200, ...(result ? encoded(result) : { headers: {}, body: EMPTY }) };
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
  }
}

/** As the classic watchdog sets them (github.com/openfaas/classic-watchdog, "CGI headers"): Http_Query, Http_User_Agent. */
function httpVariables(request, body) {
  const [path, query] = split(request.url, '?');
  const header = ([name, value]) => [`Http_${name.replace(/(^|-)([a-z])/g, (_, dash, letter) => (dash && '_') + letter.toUpperCase()).replaceAll('-', '_')}`, value];
  return named([
    ...Object.entries(clientHeaders(request)).map(header),
    ['Http_Method', request.method],
    ['Http_ContentLength', String(body.length)],
    ['Http_Content_Length', String(body.length)],
    ...(query ? [['Http_Query', query]] : []),
    ['Http_Path', path],
    ['Http_Host', request.headers.host ?? ''],
  ]);
}

async function respond(handler, request, body) {
  let event;
  try {
    event = toEvent(request, body);
  } catch (error) {
    if (!(error instanceof BadRequest)) throw error;
    return { status: 400, ...encoded({ error: { type: 'BadRequest', message: error.message } }) };
  }
  const context = new Context();
  const answer = await called(handler, event, context);
  return toResponse(answer, context);
}

/** What the handler returned, or gave to `succeed`, `fail` or the callback; `{failed}` for the latter two's errors. */
function called(handler, event, context) {
  return new Promise((resolve, reject) => {
    const failed = (error) => {
      console.error(error);
      if (context.status() === 200) context.status(500);
      resolve(error?.toString ? error.toString() : error);
    };
    const callback = (error, result) => (error ? failed(error) : resolve(result));
    context.answered = { succeed: resolve, fail: failed };
    const returned = handler(event, context, callback);
    if (typeof returned?.then === 'function') returned.then((value) => context.called || resolve(value), reject);
    else if (handler.length < 3 && !context.called) resolve(returned);
  });
}

class Context {
  constructor() {
    this.statusCode = 200;
    this.headerValues = {};
    this.called = false;
  }

  status(code) {
    if (!code) return this.statusCode;
    this.statusCode = code;
    return this;
  }

  headers(values) {
    if (!values) return this.headerValues;
    this.headerValues = values;
    return this;
  }

  succeed(value) {
    this.called = true;
    this.answered.succeed(value);
  }

  fail(value) {
    this.called = true;
    this.answered.fail(value);
  }
}

function toEvent(request, body) {
  const [path, query] = split(request.url, '?');
  const headers = clientHeaders(request);
  headers['content-type'] ??= 'text/plain';
  return { body: toBody(body, headers['content-type']), headers, method: request.method, query: listedFields(query), path };
}

/** Read by its type: text, JSON, a form; `{}` for others, as the templates leave it, but with RAW_BODY the bytes. */
function toBody(bytes, type) {
  if (process.env.RAW_BODY === 'true') return bytes;
  if (bytes.length === 0) return {};
  if (/^text\//i.test(type)) return asText(bytes) ?? bytes.toString('latin1');
  if (FORM.test(type)) return listedFields(bytes.toString('utf8'));
  if (!isJson(type)) return {};
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new BadRequest(`the body is not JSON: ${error.message}`);
  }
}

/** A string is text/html, as the templates send it, unless the handler says otherwise. */
function toResponse(value, context) {
  const status = Number(context.status());
  if (context.headers() === null || typeof context.headers() !== 'object') throw new BadResponse('context.headers() was given no object');
  const content = value === undefined || value === null ? { headers: {}, body: EMPTY } : encoded(value);
  if (typeof value === 'string') content.headers = { 'content-type': 'text/html; charset=utf-8' };
  return assembled(status, context.headers(), content);
}

module.exports = { serve };
