// Data connections: dials them and gives them to the function's http.Server. Knows no control connection.
'use strict';

const net = require('net');
const { Shared } = require('./frames.js');
const logs = require('./logs.js');

const ID_HEADER = 'x-fnctl-invocation-id';

// A server's own clocks are made for clients on the internet. Here the host is the only client, keeps idle connections
// as long as the instance lives, and has deadlines of its own; a connection closed while idle would only race with the
// next request. So these are off, whatever the app sets; the accessors keep an app's writes harmless.
const CLOCKS = ['keepAliveTimeout', 'headersTimeout', 'requestTimeout', 'timeout', 'maxRequestsPerSocket', 'keepAliveTimeoutBuffer'];

class Serving {
  /** `single`: serve one request on one connection, then `leave`. */
  constructor(server, { path, port, single, leave = () => process.exit(0) }) {
    this.server = server;
    this.path = path;
    this.single = single;
    this.leave = leave;
    this.peer = { remoteAddress: '127.0.0.1', remoteFamily: 'IPv4', remotePort: 0, localAddress: '127.0.0.1', localPort: port };
    for (const clock of CLOCKS) {
      Object.defineProperty(server, clock, { configurable: true, get: () => 0, set: () => {} });
    }
    attribute(server);
    if (single) endAfterOne(server);
  }

  /** As `http.Server.close`; `done` is called, whether it listened by itself or not. */
  close(done) {
    if (this.server.listening) this.server.close(done);
    else done();
  }

  /** A connection for all requests, beside those for one each. */
  share() {
    new Shared((socket) => this.hand(socket)).dial(this.path);
  }

  dial(count) {
    for (let n = 0; n < count; n += 1) this.connect();
  }

  connect() {
    const socket = net.connect({ path: this.path, allowHalfOpen: true });
    socket.on('error', () => {}); // until the server's own listener is there; the host learns by the close
    socket.once('connect', () => this.serve(socket));
  }

  /** A connection that was dialled already. */
  take(fd) {
    const socket = new net.Socket({ fd, allowHalfOpen: true });
    socket.on('error', () => {});
    this.serve(socket);
  }

  serve(socket) {
    if (this.single) socket.once('close', this.leave);
    else endWhole(socket);
    this.hand(socket);
  }

  hand(socket) {
    // Apps read the peer's address (req.ip, rate limits); a unix socket has none. They see a proxy on loopback.
    for (const [name, value] of Object.entries(this.peer)) Object.defineProperty(socket, name, { configurable: true, value });
    this.server.emit('connection', socket);
  }
}

/** Run everything that the server does for a request as that request's invocation, for the marks on log lines. */
function attribute(server) {
  const emit = server.emit;
  server.emit = function emitAttributed(event, request, answer, ...rest) {
    if (request?.headers === undefined) return emit.call(this, event, request, answer, ...rest);
    return logs.during(request.headers[ID_HEADER], answer, () => emit.call(this, event, request, answer, ...rest));
  };
}

/**
 * An app may end a connection after an answer, while the next request is on its way. Then nothing more is read, and the
 * connection is closed and not only shut down: so the host can tell that nobody read that request (PROTOCOL.md).
 */
function endWhole(socket) {
  const { _final, end, destroySoon } = net.Socket.prototype;
  let whole = false;
  socket.end = function endOfApp(...words) {
    whole = this.parser && isAnswered(this._httpMessage); // with an upgrade, the parser is gone
    if (whole) {
      this._handle?.readStop();
      this.once('finish', this.destroy);
    }
    return end.apply(this, words);
  };
  socket.destroySoon = function endSoon() {
    if (!this._httpMessage) this.end = end; // Node itself, after a response that said it is the last
    destroySoon.call(this);
  };
  socket.resetAndDestroy = socket.destroy; // which only TCP can
  socket._final = function final(done) {
    if (whole) done();
    else _final.call(this, done);
  };
}

const isAnswered = (response) => !response || (response.writableEnded && response.shouldKeepAlive);

function endAfterOne(server) {
  server.prependListener('request', (request, response) => {
    response.shouldKeepAlive = false; // the connection ends with the response, and the process with the connection
  });
}

module.exports = { Serving, attribute, ID_HEADER };
