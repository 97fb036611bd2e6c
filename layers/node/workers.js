// A program that uses `cluster`: its workers listen by themselves, on a port of their own making, and data connections are
// copied to and from there. Knows nothing of http.
'use strict';

const net = require('net');

const LOOK_MS = 10; // how soon it is seen that a program has loaded `cluster` later than in its first turn
const ALL_MS = 1_000; // for the other workers to listen, once one does

/** Call `take(port)` once this process has workers and they listen. */
function watchWorkers(take) {
  const look = () => {
    if (!process.moduleLoadList.includes('NativeModule cluster')) return false;
    attach(require('cluster'), take);
    return true;
  };
  if (look()) return;
  const timer = setInterval(() => look() && clearInterval(timer), LOOK_MS);
  timer.unref();
}

function attach(cluster, take) {
  const listening = new Set();
  let told = false;
  const tell = (port) => {
    if (!told) take(port);
    told = true;
  };
  cluster.on('listening', ({ id }, { port }) => {
    if (!(port > 0) || told) return;
    listening.add(id);
    if (Object.values(cluster.workers).every((worker) => listening.has(worker.id))) tell(port);
    else setTimeout(tell, ALL_MS, port).unref();
  });
}

/** In the place of Serving (serving.js): the workers take turns with the connections, as with any. */
class Workers {
  constructor(port, { path, single, leave = () => process.exit(0) }) {
    this.port = port;
    this.path = path;
    this.single = single;
    this.leave = leave;
  }

  /** They end with this process. */
  close(done) {
    done();
  }

  dial(count) {
    for (let n = 0; n < count; n += 1) this.connect();
  }

  connect() {
    const data = net.connect({ path: this.path });
    data.on('error', () => {}); // the host learns by the close
    if (this.single) data.once('close', this.leave);
    data.once('readable', () => this.hand(data)); // an idle connection keeps no worker
  }

  hand(data) {
    const worker = net.connect({ port: this.port, host: '127.0.0.1', noDelay: true });
    worker.on('error', () => {});
    worker.on('close', () => data.destroySoon());
    data.on('close', () => worker.destroy());
    data.pipe(worker);
    worker.pipe(data);
  }
}

module.exports = { Workers, watchWorkers };
