// Takes the first listen of an http.Server, in place of a port. Not the serving of it.
'use strict';

const http = require('http');
const net = require('net');

/**
 * From now on the first `listen` of an `http.Server` calls `take(server)` and opens no port; later ones pass through.
 * The server says that it listens on `port` of 127.0.0.1.
 */
function captureListen(port, take) {
  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function capturedListen(...args) {
    if (!(this instanceof http.Server)) return listen.apply(this, args);
    net.Server.prototype.listen = listen;
    const listening = args.at(-1);
    if (typeof listening === 'function') this.once('listening', listening);
    pretend(this, port);
    process.nextTick(() => {
      this.emit('listening');
      take(this);
    });
    return this;
  };
}

/** Make a server that has no handle answer as one that listens. */
function pretend(server, port) {
  let open = true;
  Object.defineProperties(server, {
    listening: { configurable: true, get: () => open },
    address: { configurable: true, value: () => (open ? { address: '127.0.0.1', family: 'IPv4', port } : null) },
    listen: {
      configurable: true,
      value: () => {
        throw Object.assign(new Error('Listen method has been called more than once'), { code: 'ERR_SERVER_ALREADY_LISTEN' });
      },
    },
    close: {
      configurable: true,
      value(done) {
        open = false;
        this.closeIdleConnections();
        process.nextTick(() => {
          this.emit('close');
          done?.();
        });
        return this;
      },
    },
  });
}

/** For shipped images: the first `listen` of an `http.Server` opens `port` at `address`, whatever it asked for. */
function redirectListen(port, address, take) {
  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function redirectedListen(...args) {
    if (!(this instanceof http.Server)) return listen.apply(this, args);
    net.Server.prototype.listen = listen;
    this.once('listening', () => take(this));
    const listening = args.at(-1);
    return listen.call(this, port, address, typeof listening === 'function' ? listening : undefined);
  };
}

module.exports = { captureListen, redirectListen };
