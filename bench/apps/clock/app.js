// Says when it was entered, by the clock that all processes of the machine share.
'use strict';

const http = require('node:http');

const server = http.createServer((req, res) => res.end(String(process.hrtime.bigint())));
server.keepAliveTimeout = 60_000;
server.listen(process.env.PORT ?? 3000);
