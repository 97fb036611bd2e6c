// Event handlers: HTTP request → (event, context) → HTTP response. The contract is in ../PROTOCOL.md.
'use strict';

const { randomUUID } = require('crypto');
const http = require('http');
const { ID_HEADER } = require('./serving.js');

class BadResponse extends Error {
  name = 'BadResponse';
}

/** An http.Server that answers each request with what `handler(event, context)` returns. */
function eventServer(handler, load) {
  return http.createServer((request, response) => {
    invoke(handler, load, request, response).catch((error) => {
      // The client left, or the response broke half-way: nobody is there to hear about it.
      response.destroy(error);
    });
  });
}

async function invoke(handler, load, request, response) {
  const body = await readAll(request);
  let result;
  try {
    result = await handler(toEvent(request, body), context(load, request));
  } catch (error) {
    console.error(error);
    return answerError(response, 500, 'crash', error);
  }
  try {
    answer(response, toResponse(result));
  } catch (error) {
    if (response.headersSent) throw error;
    console.error(`bad response: ${error.message}`);
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    answerError(response, 502, 'bad_response', error);
  }
  return undefined;
}

async function readAll(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// --- in ---

function toEvent(request, body) {
  const [path, query] = split(request.url, '?');
  const { [PARAMS_HEADER]: params, ...headers } = request.headers;
  const event = {
    method: request.method,
    path,
    query: Object.fromEntries(new URLSearchParams(query)),
    params: Object.fromEntries(new URLSearchParams(params ?? '')),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(joined(value))])),
    ...toBody(body),
  };
  if (event.body !== null && !event.isBase64Encoded && isJson(headers['content-type'])) {
    try {
      event.json = JSON.parse(event.body);
    } catch {
      // no `json` then: the handler may still read the body
    }
  }
  return event;
}

const PARAMS_HEADER = 'x-fnctl-params';

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

const joined = (value) => (Array.isArray(value) ? value.join(', ') : value);
const isJson = (type) => /^application\/([^;\s]+\+)?json\s*(;|$)/i.test(type ?? '');

function toBody(bytes) {
  if (bytes.length === 0) return { body: null, isBase64Encoded: false };
  try {
    return { body: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes), isBase64Encoded: false };
  } catch {
    return { body: bytes.toString('base64'), isBase64Encoded: true };
  }
}

function context(load, request) {
  const deadlineMs = Number(request.headers['x-fnctl-deadline-ms'] ?? Date.now() + load.timeout_ms);
  return {
    id: request.headers[ID_HEADER] ?? randomUUID(), // without a host, its own
    function: load.function,
    version: load.version,
    memoryMb: load.memory_mb,
    deadlineMs,
    remainingMs: () => Math.max(0, deadlineMs - Date.now()),
  };
}

// --- out ---

/** The response that a handler's return value stands for. Throws BadResponse for what none can be made of. */
function toResponse(result) {
  if (result === null || result === undefined) return { status: 204, headers: {}, body: Buffer.alloc(0) };
  if (typeof result !== 'object' || !Number.isInteger(result.statusCode)) return { status: 200, ...encoded(result) };
  const { statusCode: status, headers = {}, body = null, isBase64Encoded = false } = result;
  if (status < 200 || status > 599) throw new BadResponse(`statusCode ${status} is outside 200-599`);
  if (headers === null || typeof headers !== 'object') throw new BadResponse('headers is not an object');
  const content = isBase64Encoded ? decoded(body) : body === null ? { headers: {}, body: Buffer.alloc(0) } : encoded(body);
  const typed = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type');
  return { status, headers: { ...(typed ? {} : content.headers), ...headers }, body: content.body };
}

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

const content = (type, body) => ({ headers: { 'content-type': type }, body });

function answer(response, { status, headers, body }) {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) {
    try {
      response.setHeader(name, Array.isArray(value) ? value.map(String) : String(value));
    } catch (error) {
      throw new BadResponse(`header ${JSON.stringify(name)}: ${error.message}`);
    }
  }
  // The length is the body's own: a handler's differing one would break the framing.
  response.removeHeader('transfer-encoding');
  if (status !== 204 && status !== 304) response.setHeader('content-length', body.length);
  response.end(status === 204 || status === 304 ? undefined : body);
}

function answerError(response, status, code, error) {
  const type = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? error.message : String(error);
  response.statusCode = status;
  response.setHeader('x-fnctl-error', code);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ error: { type, message } }));
}

module.exports = { eventServer, toEvent, toResponse, BadResponse };
