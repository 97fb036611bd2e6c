// The control connection of an agent: JSON lines to and from the host. Knows no function.
'use strict';

const net = require('net');

class Control {
  /** Dials the host. `onMessage(message)` for each line; when the host hangs up, the process ends at once. */
  constructor(path, onMessage) {
    this.socket = net.connect(path);
    this.socket.setEncoding('utf8');
    this.rest = '';
    this.onMessage = onMessage;
    this.socket.on('data', (text) => this.read(text));
    this.socket.on('close', () => process.reallyExit(0));
    this.socket.on('error', () => process.reallyExit(0));
  }

  read(text) {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop();
    for (const line of lines) this.onMessage(JSON.parse(line));
  }

  /** Send one message. libuv tries the write at once, so that it also arrives from an `exit` listener. */
  send(message, sent) {
    this.socket.write(`${JSON.stringify(message)}\n`, sent);
  }

  get fd() {
    return this.socket._handle.fd;
  }

  /** In a forked child: the connection is its parent's. */
  abandon() {
    this.socket.removeAllListeners();
    this.socket.destroy();
  }

  /** While the user's main program loads, the connection must not be what keeps the process alive. */
  hold(held) {
    if (held) this.socket.ref();
    else this.socket.unref();
  }
}

module.exports = { Control };
