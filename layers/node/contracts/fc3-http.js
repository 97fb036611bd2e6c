// Alibaba Cloud Function Compute 3.0's handlers behind an HTTP trigger: the request as JSON, in a Buffer, is the event.
//
// alibabacloud.com/help/en/functioncompute/fc-3-0/user-guide/http-trigger-invoking-function (request and response struct).
'use strict';

const { EMPTY, clientHeaders, encoded, exchangeServer, invocation, split } = require('../exchange.js');
const { toResponse } = require('../events.js');
const { answerOf } = require('./calling.js');
const { environment, initialized, toContext } = require('./fc.js');
const { boxed, joinedFields, origin } = require('./request.js');

// The InvokeFunction operation of the platform's API: its body is the event.
const INVOKE = /^\/2023-03-30\/functions\/[^/]+\/invocations$/;
const JSON_TYPE = { 'content-type': 'application/json' };

async function serve(code, load) {
  const handler = await initialized(code, load);
  return exchangeServer(async (request, body) => {
    if (isInvoke(request)) return respond(await answerOf(handler, [body, toContext(load, request)]));
    const event = Buffer.from(JSON.stringify(toEvent(request, body, load)));
    return respond(await answerOf(handler, [event, toContext(load, request)]));
  });
}

const isInvoke = (request) => request.method === 'POST' && INVOKE.test(split(request.url, '?')[0]);

function toEvent(request, body, load) {
  const [path, query] = split(request.url, '?');
  const now = new Date();
  return {
    version: 'v1',
    rawPath: path,
    ...(body.length > 0 ? boxed(body, request.headers['content-type']) : { body: '', isBase64Encoded: false }),
    headers: clientHeaders(request),
    queryParameters: joinedFields(query),
    requestContext: {
      accountId: process.env.FC_ACCOUNT_ID ?? '',
      ...origin(request, path),
      requestId: invocation(load, request).id,
      time: now.toISOString().replace(/\.\d+/, ''),
      timeEpoch: String(now.getTime()),
    },
  };
}

/** With a statusCode it is a response; anything else is the body of one, its status 200 and its type JSON. */
function respond(result) {
  if (result === undefined || result === null) return { status: 200, headers: JSON_TYPE, body: EMPTY };
  if (Number.isInteger(result.statusCode)) return toResponse(result);
  return { status: 200, headers: JSON_TYPE, body: encoded(result).body };
}

module.exports = { environment, initializes: true, serve };
