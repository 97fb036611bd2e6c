// Calls another function, one call after the other on one connection, and says how long each took, in microseconds.
'use strict';

const http = require('node:http');

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(url) {
  return new Promise((resolve, reject) => {
    const began = process.hrtime.bigint();
    http.get(url, { agent }, (res) => {
      res.resume();
      res.on('end', () => resolve(Number(process.hrtime.bigint() - began) / 1000));
    }).on('error', reject);
  });
}

const server = http.createServer(async (req, res) => {
  const times = [];
  for (let left = Number(new URL(req.url, 'http://relay').searchParams.get('n') ?? 1); left > 0; left--) {
    times.push(await call('http://tiny.fnctl.internal/'));
  }
  res.end(JSON.stringify(times));
});
server.keepAliveTimeout = 60_000;
server.listen(process.env.PORT ?? 3000);
