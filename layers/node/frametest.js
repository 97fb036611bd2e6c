// Whether this Node takes requests as frames.js tells it of them: that part of Node is not documented. Before any code of the
// user's, on a server of its own.
'use strict';

const http = require('http');
const { METHODS, Shared } = require('./frames.js');

const BODY = 'a body';
const ID = '0'.repeat(26);

let found; // what was found: once is enough for a process, which may ask ahead of its load

/** Why not, or undefined. All of it in this turn of the loop. */
function obstacle() {
  found ??= { why: look() };
  return found.why;
}

function look() {
  try {
    const wrong = Object.entries(METHODS).find(([name, number]) => !answers(name, number));
    return wrong && `a ${wrong[0]} is answered differently`;
  } catch (error) {
    return String(error?.message ?? error);
  }
}

function answers(name, number) {
  let seen;
  let sent = '';
  const server = new http.Server((request, response) => {
    seen = request;
    response.setHeader('X-Url', request.url);
    response.end('{}');
  });
  const shared = new Shared((line) => server.emit('connection', line));
  shared.socket = { write: (bytes) => { sent += bytes.toString('latin1', bytes.length > 0 ? 11 : 0); }, writableLength: 0 };
  shared.read(Buffer.concat([headers('Host: a\r\nX-Twice: 1\r\nX-Twice: 2\r\n'), request(number, '/a?b')]));
  const body = seen?.read();
  shared.lines.forEach((line) => line.destroy());
  return (
    seen.method === name && seen.url === '/a?b' && seen.httpVersion === '1.1' && seen.headers['x-twice'] === '1, 2' && seen.complete &&
    seen.headers['content-length'] === String(BODY.length) && seen.headers['x-fnctl-invocation-id'] === ID && seen.rawHeaders[0] === 'Host' &&
    body?.toString() === BODY && /^HTTP\/1\.1 200 OK\r\nX-Url: \/a\?b\r\n/.test(sent) && sent.endsWith(name === 'HEAD' ? '\r\n\r\n' : '\r\n\r\n{}')
  );
}

function frame(kind, payload) {
  const head = Buffer.alloc(11);
  head.writeUInt32LE(payload.length, 0);
  head[10] = kind;
  return Buffer.concat([head, payload]);
}

const headers = (lines) => frame(1, Buffer.from(lines, 'latin1'));

function request(method, url) {
  const fixed = Buffer.alloc(39);
  fixed.write(ID, 0, 'latin1');
  fixed[36] = method | 0x80;
  fixed.writeUInt16LE(url.length, 37);
  return frame(2, Buffer.concat([fixed, Buffer.from(url + BODY, 'latin1')]));
}

module.exports = { obstacle };
