// AWS Lambda behind a REST API: events of payload format 1.0, and the responses that such an API takes.
//
// docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html (input and output format).
'use strict';

const { EMPTY, BadResponse, assembled, clientAddress, clientHeaders, invocation, named, pathParams, split } = require('../exchange.js');
const { nature } = require('../code.js');
const { boxed } = require('./request.js');

const STAGE = 'Prod';
const nothing = (map) => (Object.keys(map).length > 0 ? map : null);

/** `account`: the platform's number for it. `route`: the trigger's path, `/{proxy+}` where there is none. */
function toEvent(request, body, load, { account, route, time }) {
  const [path, query] = split(request.url, '?');
  const headers = spelled(clientHeaders(request));
  const pairs = [...new URLSearchParams(query)];
  const params = route === undefined ? named(path === '/' ? [] : [['proxy', path.slice(1)]]) : pathParams(request);
  return {
    resource: route ?? (path === '/' ? '/' : '/{proxy+}'),
    path,
    httpMethod: request.method,
    headers,
    multiValueHeaders: named(Object.entries(headers).map(([name, value]) => [name, [value]])),
    queryStringParameters: nothing(named(pairs)),
    multiValueQueryStringParameters: nothing(listed(pairs)),
    pathParameters: nothing(params),
    stageVariables: null,
    requestContext: context(request, path, load, { account, resource: route ?? '/{proxy+}', time }),
    ...(body.length > 0 ? boxed(body, request.headers['content-type']) : { body: null, isBase64Encoded: false }),
  };
}

/** Names as clients of HTTP/1.1 write them, which a REST API hands on as they come: `Content-Type`. */
const spelled = (headers) =>
  named(Object.entries(headers).map(([name, value]) => [name.replace(/(^|-)([a-z])/g, (_, dash, letter) => dash + letter.toUpperCase()), value]));

function listed(pairs) {
  const found = Object.create(null); // clients choose the names
  for (const [name, value] of pairs) (found[name] ??= []).push(value);
  return found;
}

function context(request, path, load, { account, resource, time }) {
  const { id } = invocation(load, request);
  const now = new Date();
  const host = request.headers.host ?? '';
  return {
    accountId: account,
    apiId: load.function,
    resourceId: load.function,
    resourcePath: resource,
    httpMethod: request.method,
    path: `/${STAGE}${path}`,
    stage: STAGE,
    protocol: 'HTTP/1.1',
    domainName: host,
    domainPrefix: host.split('.')[0],
    requestId: id,
    extendedRequestId: id,
    requestTime: time(now),
    requestTimeEpoch: now.getTime(),
    identity: { ...IDENTITY, sourceIp: clientAddress(request), userAgent: request.headers['user-agent'] ?? null },
  };
}

// Of callers that an account knows; nobody is here.
const IDENTITY = Object.fromEntries(
  ['accessKey', 'accountId', 'apiKey', 'apiKeyId', 'caller', 'cognitoAuthenticationProvider', 'cognitoAuthenticationType', 'cognitoIdentityId', 'cognitoIdentityPoolId', 'principalOrgId', 'user', 'userArn'].map((name) => [name, null]),
);

/** `{statusCode, headers, multiValueHeaders, body, isBase64Encoded}` and nothing else: such an API infers none. */
function toResponse(result) {
  if (result === null || typeof result !== 'object' || result.statusCode === undefined) {
    throw new BadResponse(`a REST API takes {statusCode, headers, body}, not ${nature(result)} without a statusCode`);
  }
  const { statusCode, headers, multiValueHeaders, body, isBase64Encoded } = result;
  const many = Object.entries(multiValueHeaders ?? {});
  const names = new Set(many.map(([name]) => name.toLowerCase()));
  const single = Object.entries(headers ?? {}).filter(([name]) => !names.has(name.toLowerCase())); // where both have it, the list wins
  return assembled(Number(statusCode), named([...single, ...many]), content(body, isBase64Encoded));
}

function content(body, isBase64Encoded) {
  if (body === undefined || body === null) return { headers: {}, body: EMPTY };
  if (typeof body !== 'string') throw new BadResponse(`body is ${nature(body)}, not a string: JSON.stringify it`);
  return { headers: { 'content-type': 'application/json' }, body: Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8') };
}

module.exports = { toEvent, toResponse };
