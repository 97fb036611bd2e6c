// Ephemeral invocations by fork: the loaded process is a template, and each request gets a child of it.
//
// The child is forked ahead and waits for its request, so that the fork is not on the request's way. What a child leaves
// behind dies with it: every other process is killed, what it could write to is wiped, its output was its own.
// What a child could still do on purpose to its parent (the same user): stop or kill it. Then the host ends the sandbox, or
// starts another template in it, and uses nothing that a child has dialled. Limits and priorities of others are refused (seccomp).
//
// The template itself waits in system calls, never in Node's loop: no timer or callback of the user's runs in it.
'use strict';

// taken now: code that is loaded later may put its own functions in their place
const { readdirSync, readFileSync, readlinkSync, stat, statSync } = require('fs');
const crypto = require('crypto');
const { syncBuiltinESMExports } = require('module');
const { inspect } = require('util');
const { collector } = require('./collect.js');
const { eventServer } = require('./events.js');
const native = require('./native.js');
const { rehearse } = require('./rehearse.js');
const { Serving } = require('./serving.js');
const { isEmpty, wipe } = require('./wipe.js');

const { kill } = process;
const { now } = Date;
const KILL_MS = 2_000; // for killed processes to be gone; more means that the sandbox is broken
const PAUSE_MS = 0.2;
const COULD_NOT_START = 86; // exit code of a child that failed before it could take a request
// How many results Node makes ahead of these: all children would share those that their template did not take.
const AHEAD = { randomUUID: 128, randomInt: 1024 };

class Template {
  /** Before any code of the user's. `root`: the slot's folder, `writable`: those to wipe, none outside of a sandbox. */
  constructor(root, writable) {
    this.root = root;
    this.writable = writable;
    this.random = ownRandom();
    this.collect = collector();
  }

  /** Practise what each child does, and note what is here by itself; then call `done`. */
  prepare(done) {
    const load = { function: 'none', version: '0', memory_mb: 1, timeout_ms: 1 };
    const server = () => eventServer(async (event) => ({ statusCode: 200, headers: {}, body: JSON.stringify(event) }), load);
    rehearse(() => this.note(done), (path) => new Serving(server(), { path, port: 0, single: true, leave: rehearseExit }).take(native.dial(path)));
  }

  note(done) {
    this.forks = native.canFork();
    stat('/', () => { // starts libuv's threads, which a child starts anew when it needs them
      this.threads = new Set(readdirSync('/proc/self/task'));
      this.files = new Set(openFiles().keys());
      this.resources = tally(process.getActiveResourcesInfo());
      done();
    });
  }

  /** Why this process must not be a template: something in it would be shared between invocations; or undefined. */
  obstacle() {
    if (!this.writable.length) return 'it is not alone in a sandbox';
    if (readdirSync('/proc/self/task').some((thread) => !this.threads.has(thread))) return 'it has threads';
    if (native.hasChildren()) return 'it has processes';
    if (native.isWorking()) return 'it has work under way';
    const busy = more(tally(process.getActiveResourcesInfo()), this.resources);
    if (busy) return `it has ${busy} open`;
    for (const [fd, name] of openFiles()) if (!this.files.has(fd)) return `it has ${name} open`;
    if (sharesMemory()) return 'it shares memory that it can write';
    const full = this.writable.find((folder) => !isEmpty(folder));
    if (full) return `it has files in ${full}`;
    return this.forks ? undefined : 'it cannot be forked here';
  }

  /** Serve invocations for good. `loaded` has been sent; nothing has been dialled yet. `control`: to the host. */
  run(control, serving) {
    this.collect(); // else each child would soon do it, and write to, and so copy, what it looks at
    native.setDumpable(false); // no child may look into or write to this process through /proc
    setImmediate(() => this.forkEach(control, serving)); // outside of the poll phase, as fork asks
  }

  /** Returns in the children only, each of which goes on in Node's loop. */
  forkEach(control, serving) {
    let done;
    for (;;) {
      // Dialled here and not by the child: by this process the host knows them (SO_PEERCRED) from what a child dials.
      const [log, data] = [native.pipeTo(`${this.root}/log.sock`), native.dial(`${this.root}/data.sock`)];
      const child = native.fork();
      if (child === 0) return this.begin(control, serving, log, data);
      if (child < 0) native.leave(1);
      native.close(log);
      native.close(data);
      if (done) native.send(control.fd, `${JSON.stringify(done)}\n`);
      while (!native.ended(child, control.fd)) {
        if (!native.drain(control.fd)) native.leave(0);
      }
      const { code, signal, cpuMs, peakKb } = native.reap(child);
      if (code === COULD_NOT_START) native.leave(1);
      this.clean();
      done = { op: 'done', cpu_ms: Math.round(cpuMs * 10) / 10, peak_kb: peakKb, code, signal };
    }
  }

  /** The child: a process as if it had been started for this invocation. */
  begin(control, serving, log, data) {
    try {
      this.become(control, log);
      serving.take(data);
    } catch (error) {
      process.stderr.write(`${inspect(error)}\n`);
      native.leave(COULD_NOT_START);
    }
  }

  become(control, log) {
    native.setsid();
    control.abandon();
    native.redirectOutput(log);
    native.setDumpable(true);
    endWithoutNode();
    this.random.reseed();
  }

  /** Kill every process but this one and PID 1, and empty the folders. Ends the process where that fails. */
  clean() {
    const deadline = now() + KILL_MS;
    while (killOthers()) {
      if (now() > deadline) native.leave(1);
      pause(PAUSE_MS); // orphans are PID 1's to reap
    }
    const left = this.writable.filter((folder) => !wipe(folder));
    if (left.length) {
      process.stderr.write(`could not empty ${left}\n`);
      native.leave(1);
    }
  }
}

/** SIGKILL all others at one instant; false once there are none. A process with a kill pending cannot fork. */
function killOthers() {
  try {
    kill.call(process, -1, 'SIGKILL');
  } catch {
    return false;
  }
  native.reapAll();
  return true;
}

const nobody = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms) => Atomics.wait(nobody, 0, 0, ms);

/** Descriptors whose offset, flags or peer all children would have in common; devices have none of these. */
function openFiles() {
  const found = new Map();
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (Number(fd) > 2 && !statSync(`/proc/self/fd/${fd}`).isCharacterDevice()) found.set(fd, readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // the one that listed the folder
    }
  }
  return found;
}

/** Timers are in the process, and go on in each child. */
function tally(resources) {
  const counts = new Map();
  for (const name of resources) {
    if (name !== 'Timeout' && name !== 'Immediate') counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

const more = (counts, before) => [...counts].find(([name, count]) => count > (before.get(name) ?? 0))?.[0];

const sharesMemory = () => readFileSync('/proc/self/maps', 'latin1').split('\n').some((line) => /^\S+ rw.s /.test(line));

/**
 * However a process comes to its end, Node says `exit`, and then waits for its threads, which a child has not. So that is
 * where a child ends, when all listeners have heard it; and what an uncaught exception was, is said here.
 */
function endWithoutNode() {
  const { emit } = process;
  let fatal;
  process.reallyExit = (code) => native.leave(Number(code) || 0);
  process.emit = function (event, ...values) {
    const heard = Reflect.apply(emit, this, [event, ...values]);
    if (event === 'uncaughtException' && !heard) fatal = values;
    if (event === 'exit') {
      if (fatal) process.stderr.write(`Uncaught ${inspect(fatal[0])}\n`);
      process.reallyExit(process.exitCode ?? values[0]);
    }
    return heard;
  };
}

/** V8 seeds `Math.random` once in a context's life, the same for all children: replaced by the system's randomness. */
function ownRandom() {
  const { randomFillSync } = crypto;
  const words = new Uint32Array(256);
  let at = words.length;
  Math.random = function random() {
    if (at === words.length) {
      randomFillSync(words);
      at = 0;
    }
    const high = words[at++] >>> 5;
    const low = words[at++] >>> 6;
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000; // 53 bits
  };
  const drawn = Object.keys(AHEAD).map((name) => noteDraws(name));
  syncBuiltinESMExports();
  return {
    /** In a child: nothing that was drawn ahead is used. */
    reseed() {
      at = words.length;
      for (const { used, exhaust } of drawn) if (used()) exhaust();
    },
  };
}

/** Know whether this function of crypto's was used. There is no other way to its results made ahead than to take them. */
function noteDraws(name) {
  const draw = crypto[name];
  let used = false;
  const noting = { [name](...args) {
    used = true;
    return draw.apply(this, args);
  } }[name];
  crypto[name] = Object.defineProperty(noting, 'length', { value: draw.length });
  if (crypto.webcrypto.constructor.prototype[name]) noteWebDraws(name, () => { used = true; });
  return {
    used: () => used,
    exhaust() {
      for (let taken = 0; taken < AHEAD[name]; taken += 1) draw(name === 'randomInt' ? 2 : undefined);
    },
  };
}

/** The same for `globalThis.crypto`, which draws of the same. */
function noteWebDraws(name, note) {
  const { prototype } = crypto.webcrypto.constructor;
  const draw = prototype[name];
  prototype[name] = { [name](...args) {
    note();
    return draw.apply(this, args);
  } }[name];
}

/** `process.exit`, all of it but the end. */
function rehearseExit() {
  const { reallyExit } = process;
  process.reallyExit = () => {};
  process.exit(0);
  process.reallyExit = reallyExit;
  process._exiting = false;
  process.exitCode = undefined;
}

module.exports = { Template };
