// Alibaba Cloud Function Compute's HTTP handlers: (req, resp, context).
//
// alibabacloud.com/help/en/functioncompute/fc-2-0/user-guide/http-handler (Node.js HTTP handlers).
'use strict';

const http = require('http');
const net = require('net');
const { Readable } = require('stream');
const { BadResponse, assembled, clientAddress, clientHeaders, encoded, exchangeServer, invocation, readAll, split } = require('../exchange.js');
const logs = require('../logs.js');
const { nature } = require('../code.js');
const { environment, initialized, toContext } = require('./fc.js');
const { listedFields } = require('./request.js');

const REQUEST_ID = 'x-fc-request-id';
// The platform's own to set: a handler's are ignored.
const IGNORED = ['connection', 'content-length', 'date', 'keep-alive', 'server', 'transfer-encoding', 'upgrade'];
// A hop's own: the request arrives whole.
const HOP = ['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding'];

async function serve(code, load) {
  attributeInner();
  const handler = await initialized(code, load);
  return exchangeServer((request, body) => respond(handler, load, request, body));
}

/** What the handler sends; a failure before that is the invocation's. A return value means nothing. */
function respond(handler, load, request, body) {
  return new Promise((resolve, reject) => {
    const returned = handler(toRequest(load, request, body), toResponse(resolve, reject), toContext(load, request));
    if (typeof returned?.then === 'function') returned.then(undefined, reject);
  });
}

/** A stream of the body, which is there as a Buffer too: handlers were written for both. */
function toRequest(load, request, body) {
  const [path, query] = split(request.url, '?');
  const headers = clientHeaders(request);
  for (const name of HOP) delete headers[name];
  headers[REQUEST_ID] = invocation(load, request).id;
  return Object.assign(Readable.from(body.length > 0 ? [body] : [], { objectMode: false }), {
    headers,
    path,
    queries: listedFields(query),
    method: request.method,
    url: request.url,
    clientIP: clientAddress(request),
    httpVersion: '1.1',
    body,
  });
}

function toResponse(resolve, reject) {
  const headers = Object.create(null);
  let status = 200;
  return {
    setStatusCode(code) {
      status = code;
    },
    setHeader(name, value) {
      const key = String(name).toLowerCase();
      if (!IGNORED.includes(key) && !key.startsWith('x-fc-')) headers[key] = value;
    },
    deleteHeader(name) {
      delete headers[String(name).toLowerCase()];
    },
    send(body) {
      sent(body).then((content) => assembled(status, headers, content)).then(resolve, reject);
    },
  };
}

async function sent(body) {
  if (body === undefined || body === null) return encoded('');
  if (typeof body === 'string' || body instanceof Uint8Array) return encoded(body);
  if (typeof body.pipe === 'function') return encoded(await readAll(body));
  throw new BadResponse(`resp.send takes a string, a Buffer or a stream, not ${nature(body)}`);
}

/**
 * Adapters such as fc-express forward each request to an http.Server of their own, whose code then runs in the context of
 * whoever opened its connection. The request's id travels in a header: so its lines are marked as that invocation's.
 */
function attributeInner() {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function attributedListen(...args) {
    if (this instanceof http.Server) attribute(this);
    return listen.apply(this, args);
  };
}

function attribute(server) {
  const { emit } = server;
  server.emit = function emitAttributed(event, request, answer, ...rest) {
    const id = request?.headers?.[REQUEST_ID];
    if (id === undefined) return emit.call(this, event, request, answer, ...rest);
    return logs.during(id, answer, () => emit.call(this, event, request, answer, ...rest));
  };
}

module.exports = { environment, initializes: true, serve };
