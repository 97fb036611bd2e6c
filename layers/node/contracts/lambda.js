// AWS Lambda's Node handlers: an HTTP request is an HTTP API's event (a REST API's where `payload` is 1.0), a call of Lambda's
// Invoke operation any event.
//
// Event and response: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
// (payload format 2.0). Handler, context: docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html and nodejs-context.html.
// Invoke: docs.aws.amazon.com/lambda/latest/api/API_Invoke.html. Environment: docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html.
'use strict';

const { EMPTY, BadResponse, assembled, clientHeaders, decoded, encoded, exchangeServer, invocation, pathParams, split } = require('../exchange.js');
const { nature } = require('../code.js');
const { answerOf } = require('./calling.js');
const { boxed, joinedFields, origin } = require('./request.js');
const restapi = require('./restapi.js');
const streaming = require('./streaming.js');

const ROUTE_HEADER = 'x-fnctl-route';
// The Invoke operation of Lambda's own API: its body is the event, whatever made it.
const INVOKE = /^\/2015-03-31\/functions\/[^/]+\/invocations$/;
const ACCOUNT = '000000000000';
const REGION = 'us-east-1';
const VERSION = '$LATEST';

/** What the platform sets. Credentials are the function's own to bring. */
function environment(load) {
  const region = load.env?.AWS_REGION ?? process.env.AWS_REGION ?? REGION;
  return {
    _HANDLER: load.handler,
    LAMBDA_TASK_ROOT: load.root,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${process.versions.node.split('.')[0]}.x`,
    AWS_LAMBDA_FUNCTION_NAME: load.function,
    AWS_LAMBDA_FUNCTION_VERSION: VERSION,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(load.memory_mb),
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${load.function}`,
    AWS_LAMBDA_LOG_STREAM_NAME: `[${VERSION}]${load.version}`,
  };
}

async function serve(code, load) {
  globalThis.awslambda = streaming.api;
  const handler = await code.callable();
  if (streaming.isStreaming(handler)) {
    return streaming.server((request, body, stream) => handler(eventOf(request, body, load), stream, toContext(load, request)));
  }
  return exchangeServer(async (request, body) => {
    if (!isInvoke(request)) {
      const result = await call(handler, eventOf(request, body, load), toContext(load, request));
      return load.payload === '1.0' ? restapi.toResponse(result) : toResponse(result);
    }
    const payload = parsed(body);
    if (payload === undefined) return { status: 400, ...encoded({ Type: 'User', message: 'the payload is not JSON' }) };
    const result = await call(handler, payload, toContext(load, request));
    return { status: 200, headers: { 'content-type': 'application/json' }, body: asJson(result) };
  });
}

const asJson = (value) => (typeof value === 'string' || value instanceof Uint8Array ? Buffer.from(JSON.stringify(value)) : encoded(value ?? null).body);

const call = (handler, event, context) =>
  answerOf(handler, [event, context], (resolve, reject, callback) => Object.assign(context, { done: callback, succeed: resolve, fail: reject }));

const isInvoke = (request) => request.method === 'POST' && INVOKE.test(split(request.url, '?')[0]);

function parsed(body) {
  try {
    return body.length > 0 ? JSON.parse(body.toString('utf8')) : {};
  } catch {
    return undefined;
  }
}

// --- in ---

function eventOf(request, body, load) {
  if (load.payload !== '1.0') return toEvent(request, body, load);
  const route = request.headers[ROUTE_HEADER]?.replace(/^ANY /, '').replace(/\.\.\.\}$/, '+}');
  return restapi.toEvent(request, body, load, { account: ACCOUNT, route, time: commonLogTime });
}

function toEvent(request, body, load) {
  const [rawPath, rawQueryString] = split(request.url, '?');
  const headers = clientHeaders(request);
  const { cookie } = headers;
  delete headers.cookie;
  const query = joinedFields(rawQueryString);
  const params = pathParams(request);
  return {
    version: '2.0',
    routeKey: routeKey(request),
    rawPath,
    rawQueryString,
    ...(cookie ? { cookies: cookie.split(/;\s*/) } : {}),
    headers,
    ...(Object.keys(query).length > 0 ? { queryStringParameters: query } : {}),
    ...(Object.keys(params).length > 0 ? { pathParameters: params } : {}),
    requestContext: requestContext(request, rawPath, load),
    ...(body.length > 0 ? boxed(body, headers['content-type']) : { isBase64Encoded: false }),
  };
}

/** `GET /items/{id}`, `ANY /files/{path+}`; `$default` where no trigger was matched. */
function routeKey(request) {
  const route = request.headers[ROUTE_HEADER]?.replace(/\.\.\.\}$/, '+}');
  if (route === undefined) return '$default';
  return route.startsWith('/') ? `${request.method} ${route}` : route;
}

function requestContext(request, path, load) {
  const now = new Date();
  return {
    accountId: ACCOUNT,
    apiId: load.function,
    ...origin(request, path),
    requestId: invocation(load, request).id,
    routeKey: routeKey(request),
    stage: '$default',
    time: commonLogTime(now),
    timeEpoch: now.getTime(),
  };
}

/** `12/Mar/2020:19:03:58 +0000` */
function commonLogTime(date) {
  const [, day, month, year, clock] = date.toUTCString().split(' '); // "Thu, 12 Mar 2020 19:03:58 GMT"
  return `${day}/${month}/${year}:${clock} +0000`;
}

function toContext(load, request) {
  const { id, deadlineMs } = invocation(load, request);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:${ACCOUNT}:function:${load.function}`,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    awsRequestId: id,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: undefined,
    identity: undefined,
    getRemainingTimeInMillis: () => Math.max(0, deadlineMs - Date.now()),
  };
}

// --- out ---

/** With a statusCode it is a response; anything else that JSON can carry is the body of one, its status 200. */
function toResponse(result) {
  if (result === null || typeof result !== 'object' || result.statusCode === undefined) return inferred(result);
  const { statusCode, headers, cookies, body, isBase64Encoded } = result;
  const made = assembled(Number(statusCode), headers ?? {}, content(body, isBase64Encoded));
  if (cookies === undefined || cookies === null) return made;
  if (!Array.isArray(cookies)) throw new BadResponse('cookies is not a list of strings');
  return { ...made, headers: { ...made.headers, 'set-cookie': [...ownCookies(made.headers), ...cookies] } };
}

function inferred(result) {
  const body = typeof result === 'string' ? Buffer.from(result, 'utf8') : encoded(result ?? null).body;
  return { status: 200, headers: { 'content-type': 'application/json' }, body };
}

function content(body, isBase64Encoded) {
  if (body === undefined || body === null) return { headers: {}, body: EMPTY };
  if (isBase64Encoded) return decoded(body);
  if (typeof body !== 'string') throw new BadResponse(`body is ${nature(body)}, not a string: JSON.stringify it`);
  return encoded(body);
}

/** A set-cookie among the headers, whose name may be written in any case, would else be lost. */
function ownCookies(headers) {
  const name = Object.keys(headers).find((each) => each.toLowerCase() === 'set-cookie');
  const value = name === undefined ? [] : headers[name];
  if (name !== undefined) delete headers[name];
  return Array.isArray(value) ? value : [value];
}

module.exports = { environment, serve };
