// The control connection of an agent: JSON lines to and from the host. Knows no function.
'use strict';

const net = require('net');

const MAX_TEXT = 64 << 10; // characters kept of a message or a stack: far below the protocol's bound of a line

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

  /** While the user's main program loads, the connection must not be what keeps the process alive. */
  hold(held) {
    if (held) this.socket.ref();
    else this.socket.unref();
  }
}

/** What went wrong with loading, as `load_failed` says it; file and line are the user's own code where known. */
function loadFailure(error, root) {
  const thrown = error instanceof Error ? error : new Error(`threw ${String(error)}`);
  const stack = String(thrown.stack ?? thrown);
  return {
    op: 'load_failed',
    type: thrown.name || 'Error',
    message: String(thrown.message).slice(0, MAX_TEXT),
    ...place(stack, root),
    stack: stack.slice(0, MAX_TEXT),
  };
}

/** The first place in the user's code that a stack names: a SyntaxError's first line, or a frame. */
function place(stack, root) {
  for (const line of stack.split('\n')) {
    const found = /^(?:file:\/\/)?(\/.*?):(\d+)$/.exec(line) ?? /(?:\(|at |file:\/\/)(\/[^()]*?):(\d+)(?::\d+)?\)?$/.exec(line);
    const file = found?.[1].replace(/^.*file:\/\//, '');
    if (file?.startsWith(`${root}/`)) return { file: file.slice(root.length + 1), line: Number(found[2]) };
  }
  return {};
}

module.exports = { Control, loadFailure, place };
