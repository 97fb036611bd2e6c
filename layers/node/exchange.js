// One request read whole, one response written whole: what everything but a web app needs of HTTP. Knows no contract.
'use strict';

const http = require('http');
const { ID_HEADER } = require('./serving.js');

const PARAMS_HEADER = 'x-fnctl-params';
const DEADLINE_HEADER = 'x-fnctl-deadline-ms';

/** The function returned what no response can be made of: 502 bad_response. Everything else it throws is a crash. */
class BadResponse extends Error {
  name = 'BadResponse';
}

/**
 * An http.Server that answers each request with what `respond(request, body)` resolves to: `{status, headers, body}`,
 * body a Buffer. What it throws is answered as the protocol says (../PROTOCOL.md, "Data connection").
 */
function exchangeServer(respond) {
  return http.createServer((request, response) => {
    exchange(respond, request, response).catch((error) => {
      // The client left, or the response broke half-way: nobody is there to hear about it.
      response.destroy(error);
    });
  });
}

async function exchange(respond, request, response) {
  const body = await readAll(request);
  try {
    write(response, await respond(request, body));
  } catch (error) {
    fail(response, error);
  }
}

/** Log what went wrong, and answer with it; where a response is on its way already, only its connection can tell. */
function fail(response, error) {
  const bad = error instanceof BadResponse;
  console.error(bad ? `bad response: ${error.message}` : error);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  writeError(response, bad ? 502 : 500, bad ? 'bad_response' : 'crash', error);
}

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// --- in ---

/** [what is before the first `mark`, what is after it]. */
function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** An object of names that clients choose (`toString`, `__proto__`): in it is what was put there, and nothing else. */
const named = (pairs) => Object.assign(Object.create(null), Object.fromEntries(pairs));

/** The client's own headers, lower case, repeated ones joined: none that the host added for the agent. */
function clientHeaders(request) {
  const headers = Object.create(null);
  for (const [name, value] of Object.entries(request.headers)) {
    if (!name.startsWith('x-fnctl-')) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
}

/** The path parameters of the trigger. */
const pathParams = (request) => named(new URLSearchParams(request.headers[PARAMS_HEADER] ?? ''));

/** The client's address: the first that a proxy noted, since the socket's peer is always the host. */
const clientAddress = (request) => (request.headers['x-forwarded-for'] ?? '').split(',')[0].trim() || '127.0.0.1';

const isJson = (type) => /^application\/([^;\s]+\+)?json\s*(;|$)/i.test(type ?? '');

/** The text that bytes are in UTF-8; undefined where they are none. */
function asText(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Id and deadline (epoch ms) of the invocation that a request is. */
function invocation(load, request) {
  return {
    id: request.headers[ID_HEADER] ?? require('crypto').randomUUID(), // without a host, its own; only here: it costs each boot 4 ms
    deadlineMs: Number(request.headers[DEADLINE_HEADER] ?? Date.now() + load.timeout_ms),
  };
}

// --- out ---

const EMPTY = Buffer.alloc(0);
const content = (type, body) => ({ headers: { 'content-type': type }, body });

/** Headers and bytes for a value: a string is text, bytes are bytes, the rest is JSON. Throws BadResponse. */
function encoded(value) {
  if (typeof value === 'string') return content('text/plain; charset=utf-8', Buffer.from(value, 'utf8'));
  if (value instanceof Uint8Array) return content('application/octet-stream', Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new BadResponse(`JSON cannot carry the result: ${error.message.split('\n')[0]}`);
  }
  if (text === undefined) throw new BadResponse(`JSON cannot carry a ${typeof value}`);
  return content('application/json', Buffer.from(text, 'utf8'));
}

function decoded(body) {
  if (typeof body !== 'string') throw new BadResponse('isBase64Encoded with a body that is not a string');
  return content('application/octet-stream', Buffer.from(body, 'base64'));
}

/**
 * A response of a handler's own status, headers and content. The handler's content type wins over the content's; a header
 * without a value (undefined, null) is left out.
 */
function assembled(status, headers, { headers: typed, body }) {
  if (!Number.isInteger(status) || status < 200 || status > 599) throw new BadResponse(`statusCode ${status} is outside 200-599`);
  if (headers === null || typeof headers !== 'object') throw new BadResponse('headers is not an object');
  const given = Object.entries(headers).filter(([, value]) => isThere(value));
  const own = given.some(([name]) => name.toLowerCase() === 'content-type');
  return { status, headers: named([...(own ? [] : Object.entries(typed)), ...given]), body };
}

const isThere = (value) => value !== undefined && value !== null;

function write(response, { status, headers, body }) {
  for (const [name, value] of Object.entries(headers)) {
    try {
      response.setHeader(name, Array.isArray(value) ? value.filter(isThere).map(String) : String(value));
    } catch (error) {
      throw new BadResponse(`header ${JSON.stringify(name)}: ${error.message}`);
    }
  }
  response.statusCode = status;
  // The length is the body's own: a handler's differing one would break the framing.
  response.removeHeader('transfer-encoding');
  if (status !== 204 && status !== 304) response.setHeader('content-length', body.length);
  response.end(status === 204 || status === 304 ? undefined : body);
}

function writeError(response, status, code, error) {
  const type = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? error.message : String(error);
  response.statusCode = status;
  response.setHeader('x-fnctl-error', code);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ error: { type, message } }));
}

module.exports = {
  BadResponse, EMPTY, assembled, asText, clientAddress, clientHeaders, decoded, encoded, exchangeServer, fail, invocation, isJson, named, pathParams,
  readAll, split, write,
};
