// A few requests through Node's own HTTP server, before any code of the user's is known. Not a request of anybody's.
'use strict';

const http = require('http');
const net = require('net');
const os = require('os');
const path = require('path');

// Nobody answers for a rehearsal that fails: the runtime is only less practised.
const LONGEST_MS = 500;
const ROUNDS = 3;
const REQUEST = [
  'POST /a?b=c HTTP/1.1', 'Host: localhost', 'X-Forwarded-Host: localhost', 'Accept: */*', 'User-Agent: none', 'Content-Type: application/json',
  'Content-Length: 2', 'X-Forwarded-For: 127.0.0.1', 'X-Forwarded-Proto: http', 'X-Fnctl-Invocation-Id: 0', 'X-Fnctl-Deadline-Ms: 0', '', '{}',
].join('\r\n');

/**
 * Node compiles its own JavaScript when it is first run: parsing, headers, streams and the response together cost a
 * first request several milliseconds. Run them here, where no request waits; then call `done`, once.
 *
 * `serve(path)` dials there, once each time it is called, and serves what comes as the agent would: on one connection
 * that is kept, or on one each.
 */
function rehearse(done, serve = plainly) {
  const address = path.join(os.tmpdir(), '.fnctl-rehearsal');
  const gate = net.createServer();
  const timer = setTimeout(end, LONGEST_MS);
  let rounds = 0;
  let ended = false;
  let client;
  function end() {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    client?.destroy();
    gate.close(done);
  }
  gate.on('error', end);
  gate.on('connection', (connection) => {
    client = connection;
    client.on('error', () => {}); // who serves once has closed it by now; the next round has a connection of its own
    client.on('close', () => (ended || rounds === ROUNDS ? end() : serve(address)));
    client.on('data', () => {
      rounds += 1;
      if (rounds < ROUNDS) client.write(REQUEST);
      else client.destroy();
    });
    client.write(REQUEST);
  });
  gate.listen(address, () => serve(address));
}

function plainly(address) {
  const server = http.createServer((request, response) => {
    request.on('data', () => {}).on('end', () => response.setHeader('Content-Type', 'application/json').end('{}'));
  });
  const socket = net.connect(address, () => server.emit('connection', socket));
  socket.on('error', () => {}); // the other side is told by the close
}

module.exports = { rehearse };
