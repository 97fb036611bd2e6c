// A shipped image under plain `docker run`: the same function on a port of its own, without a host.
'use strict';

const { redirectListen } = require('./capture.js');
const logs = require('./logs.js');
const program = require('./program.js');
const { attribute } = require('./serving.js');

const DRAIN_MS = 10_000; // as long as `docker stop` waits

/** Load the function that FNCTL_LOAD describes and listen on $PORT (8080). Errors end the process as in plain Node. */
function serve() {
  const load = JSON.parse(process.env.FNCTL_LOAD);
  delete process.env.FNCTL_LOAD;
  delete process.env.FNCTL_PRELOAD;
  const port = Number(process.env.PORT || load.port || 8080);
  const address = load.address ?? '0.0.0.0';
  for (const [name, value] of Object.entries(load.env ?? {})) process.env[name] ??= value;
  process.env.PORT = String(port);
  process.chdir(load.root);
  logs.install({ marked: false });
  const take = (server) => {
    attribute(server);
    stopOnSignal(server);
  };
  const open = (server) => {
    take(server);
    server.listen(port, address);
  };
  if (program.isProgram(load)) {
    redirectListen(port, address, take);
    process.once('beforeExit', () => program.exportedApp(load).then((server) => server && server.listen()));
    program.runProgram(load.root, load.handler);
  } else {
    program.loadExport(load).then(({ server }) => open(server));
  }
}

/** As PID 1 there is no default action for a signal. An app that handles it itself keeps its way. */
function stopOnSignal(server) {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    if (process.listenerCount(signal) > 0) continue;
    process.once(signal, () => {
      server.close(() => process.exit(0));
      server.closeIdleConnections();
      setTimeout(() => process.exit(0), DRAIN_MS).unref();
    });
  }
}

module.exports = { serve };
