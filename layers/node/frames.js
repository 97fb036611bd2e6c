// One connection for all requests of an instance: frames to and from the host (../PROTOCOL.md, "Shared connection"), and in
// the place of a socket for each request one that is none. Node's own server does the rest: it is told of a request as its
// parser tells it. That part of Node is not documented: frametest.js finds out whether this Node has it.
'use strict';

const net = require('net');
const { AsyncResource } = require('async_hooks');

const [HEADERS, REQUEST, CANCEL, CREDIT, DATA, CLOSE] = [1, 2, 3, 4, 5, 6];
const HEAD = 11; // length of the payload, slot, number, kind
const FIXED = 39; // of a request: id, deadline, headers, method, length of the target
const WINDOW = 128 << 10; // bytes of an answer that may be sent before there is credit for more
const SMALL = 16 << 10; // what is smaller is copied, to be sent with others
const OUT = 256 << 10;
const HAS_LENGTH = 0x80;
const EMPTY = Buffer.alloc(0);
// Those that the host sends here, by the number that Node's parser has for them.
const METHODS = { DELETE: 0, GET: 1, HEAD: 2, POST: 3, PUT: 4, OPTIONS: 6, PATCH: 28 };

class Shared {
  /** `hand(socket)` gives the function's server a connection. */
  constructor(hand) {
    this.hand = hand;
    this.socket = undefined;
    this.lines = []; // by slot
    this.headers = []; // by number: [name, value, …]
    this.rest = EMPTY; // of what came: the beginning of a frame
    this.out = Buffer.allocUnsafeSlow(OUT);
    this.used = 0; // of `out`: frames that are to be sent
    this.scheduled = false;
    this.sendAll = () => this.flush();
  }

  dial(path) {
    const buffer = Buffer.allocUnsafeSlow(OUT);
    this.socket = net.connect({ path, onread: { buffer, callback: (size) => this.read(buffer.subarray(0, size)) } });
    this.socket.on('error', () => {}); // the host learns by the close
    this.socket.on('close', () => this.lines.forEach((line) => line.destroy()));
  }

  // --- from the host ---

  /** `data` is the caller's again afterwards. */
  read(data) {
    const all = this.rest.length ? Buffer.concat([this.rest, data]) : data;
    let at = 0;
    let whole = false; // all frames were looked at
    try {
      while (all.length - at >= HEAD) {
        const from = at + HEAD;
        const end = from + all.readUInt32LE(at);
        if (end > all.length) break;
        const [slot, number, kind] = [all.readUInt16LE(at + 4), all.readUInt32LE(at + 6), all[at + 10]];
        at = end;
        this.take(kind, slot, number, all, from, end);
      }
      whole = true;
    } finally {
      this.rest = at < all.length ? Buffer.from(all.subarray(at)) : EMPTY;
      // A handler threw, as it would have from a socket's event. Requests of others have come with its own.
      if (!whole) setImmediate(() => this.read(EMPTY));
      this.flush();
    }
    return true; // go on reading
  }

  take(kind, slot, number, data, from, end) {
    if (kind === REQUEST) return this.request(slot, number, data, from, end);
    if (kind === HEADERS) {
      this.headers[number] = fields(data.latin1Slice(from, end));
      return undefined;
    }
    const line = this.lines[slot];
    if (line?.number !== number) return undefined; // it has ended by itself
    if (kind === CREDIT) return line.credit(data.readUInt32LE(from));
    if (kind === CANCEL) line.destroy();
    return undefined;
  }

  request(slot, number, data, from, end) {
    const method = data[from + 36];
    const at = from + FIXED;
    const body = at + data.readUInt16LE(from + 37);
    const raw = this.headers[data.readUInt16LE(from + 34)].slice();
    if (method & HAS_LENGTH) raw.push('Content-Length', String(end - body));
    raw.push('X-Fnctl-Invocation-Id', data.latin1Slice(from, from + 26), 'X-Fnctl-Deadline-Ms', String(Math.trunc(data.readDoubleLE(from + 26))));
    let line = this.lines[slot];
    if (!line?.free) {
      line = this.lines[slot] = new Line(this, slot);
      this.hand(line);
    }
    line.begin(number, raw, method & ~HAS_LENGTH, data.latin1Slice(at, body), body < end ? Buffer.from(data.subarray(body, end)) : undefined);
  }

  // --- to the host ---

  /** Several pieces in one frame. `size`: they take no more. */
  send(line, pieces, size) {
    if (this.used + HEAD + size > OUT) this.flush();
    const start = this.used + HEAD;
    let at = start;
    for (const { chunk, encoding } of pieces) {
      at += typeof chunk === 'string' ? this.out.write(chunk, at, encoding) : chunk.copy(this.out, at);
    }
    if (at > start) this.frame(DATA, line, at - start);
    return at - start;
  }

  /** One piece that is not copied; `sent` once it is the caller's again. */
  sendLarge(line, bytes, sent) {
    if (this.used + HEAD > OUT) this.flush();
    this.frame(DATA, line, bytes.length, 0);
    this.flush();
    this.socket.write(bytes, sent);
  }

  close(line) {
    if (this.used + HEAD > OUT) this.flush();
    this.frame(CLOSE, line, 0);
  }

  frame(kind, line, length, here = length) {
    const { out, used } = this;
    out.writeUInt32LE(length, used);
    out.writeUInt16LE(line.slot, used + 4);
    out.writeUInt32LE(line.number, used + 6);
    out[used + 10] = kind;
    this.used = used + HEAD + here;
    if (this.scheduled) return;
    this.scheduled = true;
    process.nextTick(this.sendAll); // with what else is ready in this turn
  }

  flush() {
    this.scheduled = false;
    if (this.used === 0) return;
    this.socket.write(this.out.subarray(0, this.used));
    this.used = 0;
    if (this.socket.writableLength > 0) this.out = Buffer.allocUnsafeSlow(OUT); // the kernel has not taken all of it yet
  }
}

/** What Node's server takes for a connection: one request after another, as on one that is kept alive. */
class Line extends net.Socket {
  constructor(shared, slot) {
    super({ allowHalfOpen: true });
    this.shared = shared;
    this.slot = slot;
    this.number = 0; // of the request
    this.window = 0;
    this.sent = 0; // bytes, on this and the requests before
    this.held = undefined; // for want of credit
    this.done = undefined; // when that is sent
    this.sending = false;
    this.scope = new AsyncResource('FNCTLREQUEST');
    this.on('error', () => {}); // as on a connection that is given to the server
  }

  /** Nothing of an earlier request is left on it. */
  get free() {
    return this.writable && !this._httpMessage;
  }

  begin(number, raw, method, url, body) {
    this.number = number;
    this.window = WINDOW;
    this._unrefTimer(); // of the app's `setTimeout`
    this.scope.runInAsyncScope(deliver, undefined, this.parser, raw, method, url, body);
  }

  credit(bytes) {
    this.window += bytes;
    if (this.held) this.advance();
  }

  // --- stream.Duplex ---

  _read() {}

  _write(chunk, encoding, done) {
    this._writev([{ chunk, encoding }], done);
  }

  _writev(pieces, done) {
    this._unrefTimer();
    let size = 0; // at most
    for (const { chunk } of pieces) size += typeof chunk === 'string' ? chunk.length * 3 : chunk.length;
    if (size <= SMALL && size <= this.window) {
      const sent = this.shared.send(this, pieces, size);
      this.window -= sent;
      this.sent += sent;
      done();
      return;
    }
    this.held = Buffer.concat(pieces.map(({ chunk, encoding }) => (typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk)));
    this.done = done;
    this.advance();
  }

  /** Send what there is credit for. */
  advance() {
    if (this.sending || !this.held) return;
    if (this.held.length === 0) {
      const { done } = this;
      this.held = this.done = undefined;
      done();
      return;
    }
    const part = this.held.subarray(0, this.window);
    if (part.length === 0) return;
    this.held = this.held.subarray(part.length);
    this.window -= part.length;
    this.sent += part.length;
    this.sending = true;
    this.shared.sendLarge(this, part, () => {
      this.sending = false;
      this.advance();
    });
  }

  _destroy(error, closed) {
    const { done } = this;
    this.held = this.done = undefined;
    if (this.number) this.shared.close(this);
    super._destroy(error, closed);
    if (done) process.nextTick(done);
  }

  // --- net.Socket ---

  get _bytesDispatched() {
    return this.sent;
  }

  get pending() {
    return false;
  }

  address() {
    return { address: this.localAddress, family: this.remoteFamily, port: this.localPort };
  }

  ref() {
    return this;
  }

  unref() {
    return this;
  }

  resetAndDestroy() {
    return this.destroy();
  }
}

/** Tell Node's server of a request, as its parser does: whole, since all of it is here. */
function deliver(parser, raw, method, url, body) {
  const { kOnHeadersComplete, kOnBody, kOnMessageComplete } = parser.constructor;
  parser[kOnHeadersComplete](1, 1, raw, method, url, undefined, undefined, false, true);
  if (body) parser[kOnBody](body);
  parser[kOnMessageComplete]();
}

/** Lines of a head → [name, value, …], as Node has them. */
function fields(text) {
  const found = [];
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) found.push(line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, ''));
  }
  return found;
}

module.exports = { METHODS, Shared };
