// Alibaba Cloud Function Compute's event handlers: the request's body is the event, as InvokeFunction passes it.
//
// alibabacloud.com/help/en/functioncompute/fc-2-0/user-guide/event-handlers-6 (Node.js event handlers).
'use strict';

const { EMPTY, encoded, exchangeServer } = require('../exchange.js');
const { toResponse } = require('../events.js');
const { answerOf } = require('./calling.js');
const { environment, initialized, toContext } = require('./fc.js');

async function serve(code, load) {
  const handler = await initialized(code, load);
  return exchangeServer(async (request, body) => respond(await answerOf(handler, [body, toContext(load, request)])));
}

/** Nothing is an empty 200; `{statusCode, …}` is a response, as HTTP triggers take it; the rest is the body. */
function respond(result) {
  if (result === undefined || result === null) return { status: 200, headers: {}, body: EMPTY };
  return Number.isInteger(result.statusCode) ? toResponse(result) : { status: 200, ...encoded(result) };
}

module.exports = { environment, initializes: true, serve };
