// Prints empty lines for `?s=` seconds as fast as it may, then answers.
'use strict';

const fs = require('node:fs');
const http = require('node:http');

const LINES = Buffer.alloc(65536, '\n');

const server = http.createServer((req, res) => {
  const until = Date.now() + 1000 * Number(new URL(req.url, 'http://localhost').searchParams.get('s') ?? 0);
  while (Date.now() < until) {
    try {
      fs.writeSync(1, LINES);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // nobody has read for a while
    }
  }
  res.end('said it all');
});
server.keepAliveTimeout = 60_000;
server.listen(process.env.PORT ?? 3000);
