// The smallest HTTP server: what is measured with it is everything around it.
'use strict';

const http = require('node:http');

const server = http.createServer((req, res) => res.end('ok'));
server.keepAliveTimeout = 60_000;
server.listen(process.env.PORT ?? 3000);
