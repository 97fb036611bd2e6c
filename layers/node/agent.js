// The Node agent: dials the host, loads one function, serves its requests. The protocol is ../PROTOCOL.md.
'use strict';

const os = require('os');
const { performance } = require('perf_hooks');
const { preload } = require('./builtins.js');
const { captureListen } = require('./capture.js');
const { dropBundledCache, useBundledCache } = require('./compilecache.js');
const { Control } = require('./control.js');
const { loadFailure, ownStack } = require('./failure.js');
const logs = require('./logs.js');
const agentModules = require('./agentmodules.js');
const pack = require('./pack.js');
const program = require('./program.js');
const { rehearse } = require('./rehearse.js');
const { Serving } = require('./serving.js');
const { Workers, watchWorkers } = require('./workers.js');

const ROOT = process.env.FNCTL_ROOT ?? '/fn';
const SECRET = process.env.FNCTL_BOOT; // what shows that this is the process that was booted
const RUNTIME = `node${process.versions.node.split('.')[0]}`;

// The agent's own that not every function needs (agentmodules.js loads them when one does).
const LATER = ['./apps.js', './events.js'];

class Agent {
  /** `template`: where this process may be one. */
  constructor(template) {
    this.template = template;
    this.serving = null;
    this.failed = false;
    this.shares = false; // requests come on one connection, as the host offers
    this.control = new Control(`${ROOT}/agent.sock`, (message) => this.receive(message));
    if (template) this.control.socket.once('connect', () => template.prepare(() => this.hello()));
    else this.hello();
  }

  hello() {
    this.control.send({ op: 'hello', protocol: 1, role: 'agent', runtime: RUNTIME, pid: process.pid, boot: SECRET });
  }

  receive(message) {
    if (message.op === 'load') this.load(message);
    else if (message.op === 'dial') this.serving?.dial(message.n);
    else if (message.op === 'ahead') this.readAhead(message.folder);
    else if (message.op === 'sleep') this.sleep();
    else if (message.op === 'stop') this.stop();
  }

  readAhead(folder) {
    pack.readAhead(folder);
    this.control.send({ op: 'ahead' });
  }

  load(load) {
    const started = performance.now();
    this.source = [load.root, load.handler];
    this.shares = load.share === true && load.model === 'resident' && canShare();
    prepare(load);
    const ready = (server, kind) => this.ready(server, kind, load, started);
    this.watchLoading(load, ready);
    try {
      if (program.isProgram(load)) {
        captureListen(load.port, (server) => ready(server, 'web'));
        program.runProgram(load.root, load.handler);
        watchWorkers((port) => ready(port, 'web'));
      } else {
        this.control.hold(true);
        program.loadExport(load).then(({ server, kind }) => ready(server, kind), (error) => this.fail(error));
      }
    } catch (error) {
      this.fail(error);
    }
  }

  /** Until the function is loaded, an exception that nobody handles and an early end are failures of the load. */
  watchLoading(load, ready) {
    this.control.hold(false);
    this.onUncaught = (error) => {
      if (process.listenerCount('uncaughtException') === 0) this.tellFailure(error);
    };
    this.onExit = (code) => {
      this.tellFailure(Object.assign(new Error(`${load.handler} ended with code ${code} before it listened`), { name: 'Exit', stack: '' }));
    };
    this.onIdle = () => this.serveExported(load, ready);
    process.on('uncaughtExceptionMonitor', this.onUncaught);
    process.on('exit', this.onExit);
    process.on('beforeExit', this.onIdle);
  }

  /** A main program ended without listening: what it exports may be an app all the same. */
  async serveExported(load, ready) {
    process.off('beforeExit', this.onIdle);
    this.control.hold(true);
    try {
      const server = await program.exportedApp(load);
      if (!server) throw Object.assign(new Error(`${load.handler} ran to its end, started no http.Server and exports no app`), { name: 'NotServing', stack: '' });
      ready(server, 'web');
    } catch (error) {
      this.fail(error);
    }
  }

  ready(server, kind, load, started) {
    if (this.serving) return; // a listen of a server that was exported, too
    process.off('uncaughtExceptionMonitor', this.onUncaught);
    process.off('exit', this.onExit);
    process.off('beforeExit', this.onIdle);
    this.control.hold(true);
    const settings = { path: `${ROOT}/data.sock`, port: load.port, single: load.model === 'ephemeral' };
    this.serving = typeof server === 'number' ? new Workers(server, settings) : new Serving(server, settings);
    if (!load.warmup || typeof server === 'number') return this.loaded(kind, load, started);
    this.control.send({ op: 'waiting', for: `the answer to its warmup, GET ${load.warmup}` });
    agentModules.load('warmup.js').warmUp(load, (socket) => this.serving.hand(socket), () => this.loaded(kind, load, started));
  }

  loaded(kind, load, started) {
    const ms = Math.round((performance.now() - started) * 10) / 10;
    if (this.template) dropBundledCache();
    const fork = this.template !== undefined && load.model === 'ephemeral' && this.template.obstacle() === undefined;
    const shares = this.shares && this.serving instanceof Serving;
    this.control.send({ op: 'loaded', ms, kind, fork, shares });
    if (fork) return this.template.run(this.control, this.serving);
    if (shares) this.serving.share(); // the host takes the first one for that
    return this.serving.dial(1);
  }

  /** No request for long: what only a busy process needs is given back. One may come at any moment. */
  sleep() {
    agentModules.load('collect.js').giveBack();
  }

  /**
   * The host needs the program no more. One that handles SIGTERM ends by itself, the host's connection being nothing that
   * it has to wait for; another is ended in order.
   */
  stop() {
    this.control.hold(false);
    const { SIGTERM } = os.constants.signals;
    if (process.listenerCount('SIGTERM') === 0) this.serving.close(() => process.exit());
    else process.emit('SIGTERM', 'SIGTERM', SIGTERM); // at once: a signal might come to a process that has ended before
  }

  tellFailure(error) {
    if (this.failed) return;
    this.failed = true;
    this.control.send(loadFailure(error, ...this.source));
  }

  fail(error) {
    if (error?.stack) {
      error.stack = ownStack(error);
      console.error(error);
    }
    this.control.hold(true);
    this.tellFailure(error);
    this.control.socket.end(() => process.reallyExit(1));
  }
}

/** Before any code of the user's, which may change what is tested. */
function canShare() {
  const why = agentModules.load('frametest.js').obstacle();
  if (why) console.error(`fnctl: requests come on a connection each, which is slower: in this Node, ${why}`);
  return why === undefined;
}

/** The process as the function will see it. */
function prepare(load) {
  Object.assign(process.env, load.env, { PORT: String(load.port) });
  if (load.env.NODE_EXTRA_CA_CERTS) agentModules.load('authorities.js').trust(load.env.NODE_EXTRA_CA_CERTS);
  process.chdir(load.root);
  useBundledCache(load.root, '/tmp');
}

/** Take the agent's own traces away from what user code can see. */
function hide() {
  process.execArgv = []; // else a process that the function forks would take them over
  for (const name of ['FNCTL_BOOT', 'FNCTL_PRELOAD', 'FNCTL_ROOT', 'FNCTL_WIPE', 'FNCTL_SUPERVISED']) delete process.env[name];
  agentModules.hide();
  process.mainModule = undefined;
}

function start(template) {
  logs.install({ marked: true });
  hide();
  new Agent(template);
}

/** Every request runs in a fork of this process: what is practised here is practised for all. */
function startTemplate() {
  const { Template } = require('./template.js');
  const supervised = process.env.FNCTL_SUPERVISED === '1' && process.ppid === 1;
  start(new Template(ROOT, supervised ? process.env.FNCTL_WIPE.split(':').filter(Boolean) : []));
}

// Booted for a function that is known, what that does not load would be loaded for nothing.
const ahead = process.env.FNCTL_PRELOAD !== '0';
const forks = process.execArgv.includes('--single-threaded'); // `template` in runtime.yaml
if (ahead) preload();
if (ahead || forks) for (const name of LATER) require(name);
if (ahead && !forks) require('./frametest.js').obstacle();
if (process.argv.includes('--serve')) require('./standalone.js').serve();
else if (forks) startTemplate();
else if (ahead) rehearse(() => start());
else start();

module.exports = { prepare };
