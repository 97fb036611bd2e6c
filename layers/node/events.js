// Event handlers: HTTP request → (event, context) → HTTP response. The contract is in ../PROTOCOL.md.
'use strict';

const { EMPTY, assembled, asText, decoded, encoded, exchangeServer, invocation, isJson, named, pathParams, split } = require('./exchange.js');

/** An http.Server that answers each request with what `handler(event, context)` returns. */
function eventServer(handler, load) {
  return exchangeServer(async (request, body) => toResponse(await handler(toEvent(request, body), toContext(load, request))));
}

function toEvent(request, body) {
  const [path, query] = split(request.url, '?');
  const headers = plainHeaders(request.headers);
  const event = {
    method: request.method,
    path,
    query: named(new URLSearchParams(query)),
    params: pathParams(request),
    headers,
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

function plainHeaders({ 'x-fnctl-params': _, ...headers }) {
  return named(Object.entries(headers).map(([name, value]) => [name, String(Array.isArray(value) ? value.join(', ') : value)]));
}

function toBody(bytes) {
  if (bytes.length === 0) return { body: null, isBase64Encoded: false };
  const text = asText(bytes);
  return text === undefined ? { body: bytes.toString('base64'), isBase64Encoded: true } : { body: text, isBase64Encoded: false };
}

function toContext(load, request) {
  const { id, deadlineMs } = invocation(load, request);
  return {
    id,
    function: load.function,
    version: load.version,
    memoryMb: load.memory_mb,
    deadlineMs,
    remainingMs: () => Math.max(0, deadlineMs - Date.now()),
  };
}

/** The response that a handler's return value stands for. Throws BadResponse for what none can be made of. */
function toResponse(result) {
  if (result === null || result === undefined) return { status: 204, headers: {}, body: EMPTY };
  if (typeof result !== 'object' || !Number.isInteger(result.statusCode)) return { status: 200, ...encoded(result) };
  const { statusCode, headers = {}, body = null, isBase64Encoded = false } = result;
  const content = isBase64Encoded ? decoded(body) : body === null ? { headers: {}, body: EMPTY } : encoded(body);
  return assembled(statusCode, headers, content);
}

module.exports = { eventServer, toContext, toResponse };
