// Standard output and error of the function: whole lines, each marked with the invocation that wrote it.
'use strict';

const fs = require('fs');
const { Writable } = require('stream');
const { AsyncLocalStorage } = require('async_hooks');

const MAX_LINE = 64 << 10; // a line that never ends is written in pieces of this many characters

/** The invocation whose code is running, wherever its promises and timers lead: `{id, answer}`. */
const invocation = new AsyncLocalStorage();

/** One of the two streams. Lines of concurrent invocations never mix: each has its own unfinished line. */
class LineStream extends Writable {
  constructor(fd, marked) {
    super({ decodeStrings: false });
    this.fd = fd;
    this.marked = marked;
    this.unfinished = new Map();
    this._isStdio = true;
  }

  _write(chunk, encoding, done) {
    const text = typeof chunk === 'string' ? chunk : chunk.toString('utf8');
    const of = invocation.getStore();
    const id = of?.id;
    const before = this.unfinished.get(id);
    const whole = (before ?? '') + text;
    const lines = whole.lastIndexOf('\n') + 1;
    const end = whole.length - lines > MAX_LINE ? whole.length : lines;
    if (end < whole.length) {
      this.unfinished.set(id, whole.slice(end));
      if (before === undefined) of?.answer.once('close', () => this.finish(id)); // only here: a listener costs each request
    } else this.unfinished.delete(id);
    if (end > 0) this.emitLines(id, whole.slice(0, end));
    done();
  }

  // Never closed: the process has no other output. A stream that a library ends stays usable, as with Node's own.
  _destroy(error, done) {
    done(error);
  }

  emitLines(id, text) {
    const lines = text.endsWith('\n') ? text : `${text}\n`;
    const mark = this.marked && id !== undefined ? `\x1e${id}\x1f` : '';
    writeAll(this.fd, mark ? lines.replace(/^(?!$(?![\s\S]))/gm, mark) : lines);
  }

  /** The invocation is over: what it left without a newline is a line now. */
  finish(id) {
    const rest = this.unfinished.get(id);
    if (rest === undefined) return;
    this.unfinished.delete(id);
    this.emitLines(id, rest);
  }
}

// The descriptor blocks: who prints faster than the host reads, waits. A program that has the same output may have made it
// a non-blocking one (Node does); opened anew it blocks.
function writeAll(fd, text) {
  const bytes = Buffer.from(text, 'utf8');
  const written = writeSome(fd, bytes);
  if (written === bytes.length) return;
  try {
    const own = fs.openSync(`/proc/self/fd/${fd}`, 'a');
    writeSome(own, bytes.subarray(written));
    fs.closeSync(own);
  } catch {
    // the host is gone, and the control connection says so
  }
}

/** How much could be written. */
function writeSome(fd, bytes) {
  let at = 0;
  try {
    while (at < bytes.length) at += fs.writeSync(fd, bytes, at);
  } catch {
    // EAGAIN, or EPIPE
  }
  return at;
}

const streams = {};

/** Put the streams in place of Node's own, which would make the descriptors non-blocking on first use. */
function install({ marked }) {
  for (const [name, fd] of [['stdout', 1], ['stderr', 2]]) {
    streams[name] = new LineStream(fd, marked);
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => streams[name] });
  }
  process.on('exit', () => Object.values(streams).forEach((stream) => stream.finish(undefined)));
}

/** Run `work` as the invocation `id` (undefined without a host), which is over when `answer` (a response or a socket) closes. */
function during(id, answer, work) {
  return invocation.run({ id, answer }, work);
}

module.exports = { install, during };
