// AWS Lambda's streamed responses: the `awslambda` global, and the server for handlers that it marked.
//
// docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html
'use strict';

const http = require('http');
const { fail, readAll } = require('../exchange.js');

const MARK = Symbol.for('aws.lambda.runtime.handler.streaming'); // the platform's own, which wrappers of handlers look for
const TYPE = 'application/octet-stream';

const api = {
  /** Mark `(event, responseStream, context)` as one that writes its response. */
  streamifyResponse: (handler) => Object.assign(handler, { [MARK]: 'response' }),
  HttpResponseStream: {
    /** The same stream, once status, headers and cookies are those of `metadata`. */
    from(stream, { statusCode = 200, headers = {}, cookies = [] } = {}) {
      stream.statusCode = statusCode;
      for (const [name, value] of Object.entries(headers)) stream.setHeader(name, value);
      if (cookies.length > 0) stream.setHeader('set-cookie', cookies);
      return stream;
    },
  },
};

const isStreaming = (handler) => handler[MARK] === 'response';

/** An http.Server that gives each response to `handle(request, body, stream)`; a crash before its first byte is told as any. */
function server(handle) {
  return http.createServer(async (request, response) => {
    response.setContentType = (type) => response.setHeader('content-type', type);
    response.setContentType(TYPE);
    try {
      await handle(request, await readAll(request), response);
    } catch (error) {
      fail(response, error);
    }
  });
}

module.exports = { api, isStreaming, server };
