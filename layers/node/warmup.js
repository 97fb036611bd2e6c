// One request that the function answers before it has loaded. Who serves it does not know that nobody asked.
'use strict';

const net = require('net');

const INVOCATION = 'warmup'; // of nobody: its lines are marked with no invocation
const FAILED = 500;
const ADDRESS = '\0fnctl-warmup'; // no file, and gone with its listener

/** `serve(socket)` gives the function's server a connection. Then call `done`, once, with nothing of it left open. */
function warmUp(load, serve, done) {
  const gate = net.createServer();
  let head = '';
  let open = 2; // what has to be closed: the gate with the client's end, and the function's end
  const closed = () => {
    open -= 1;
    // A handle that is closed counts as open until the end of this turn of the loop, which comes after what is immediate.
    if (open === 0) setImmediate(() => setImmediate(done));
  };
  gate.on('connection', (client) => {
    client.setEncoding('latin1');
    client.on('error', () => {});
    client.on('data', (text) => {
      if (head.length < 64) head += text.slice(0, 64);
    });
    client.on('close', () => {
      const status = Number(/^HTTP\/1\.. (\d{3})/.exec(head)?.[1] ?? 0);
      if (status === 0 || status >= FAILED) console.error(`warmup: GET ${load.warmup}: ${status ? `status ${status}` : 'no answer'}`);
      gate.close(closed);
    });
    client.write(request(load));
  });
  gate.listen(ADDRESS, () => {
    const socket = net.connect({ path: ADDRESS, allowHalfOpen: true });
    socket.on('error', () => {});
    socket.once('close', closed);
    socket.once('connect', () => serve(socket));
  });
}

function request(load) {
  return [
    `GET ${load.warmup} HTTP/1.1`, `Host: ${load.function}.localhost`, 'User-Agent: fnctl-warmup', 'Accept: */*', 'X-Forwarded-For: 127.0.0.1',
    'X-Forwarded-Proto: http', `X-Forwarded-Host: ${load.function}.localhost`, `X-Fnctl-Invocation-Id: ${INVOCATION}`,
    `X-Fnctl-Deadline-Ms: ${Date.now() + load.timeout_ms}`, 'Connection: close', '', '',
  ].join('\r\n');
}

module.exports = { warmUp };
