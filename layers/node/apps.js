// What an export is: a web app by its shape, or a handler. Not the serving of either.
'use strict';

const http = require('http');

/** The http.Server of a server, an app of a known framework, or a (req, res) function; undefined for anything else. */
async function appServer(found) {
  if (found instanceof http.Server) return found;
  if (found?.server instanceof http.Server && typeof found.ready === 'function') {
    await found.ready(); // Fastify
    return found.server;
  }
  if (typeof found?.callback === 'function' && Array.isArray(found.middleware)) return http.createServer(found.callback()); // Koa
  return typeof found === 'function' && takesRequest(found) ? http.createServer(found) : undefined;
}

/** Told by an app's own method, or by the names that everyone gives the two parameters. */
function takesRequest(found) {
  if (typeof found.handle === 'function') return true; // Express, Connect
  const parameters = /^(?:async\s*)?(?:function\b[^(]*)?(?:\*\s*)?\w*\s*\(\s*([^)]*)/.exec(Function.prototype.toString.call(found))?.[1] ?? '';
  return /^_?(req|request)\s*,\s*_?(res|response)\b/i.test(parameters);
}

module.exports = { appServer, takesRequest };
