// Parts of an HTTP request as more than one platform hands them over. Not whole events.
'use strict';

const { asText, clientAddress } = require('../exchange.js');

const BINARY = /^(image\/(?!svg)|audio\/|video\/|font\/|application\/(octet-stream|pdf|zip|gzip|x-gzip|x-tar|wasm|protobuf|x-protobuf|grpc|vnd\.ms-|vnd\.openxml))/i;

/** Whether a media type is one of bytes. */
const isBinary = (type) => BINARY.test((type ?? '').trim());

/** A body for JSON: as text, or in base64 where its type says bytes, or it is no UTF-8. */
function boxed(bytes, type) {
  const text = isBinary(type) ? undefined : asText(bytes);
  return text === undefined ? { body: bytes.toString('base64'), isBase64Encoded: true } : { body: text, isBase64Encoded: false };
}

/** A query's or a form's fields, decoded; a repeated one's values joined by commas. */
function joinedFields(text) {
  const found = Object.create(null); // clients choose the names
  for (const [name, value] of new URLSearchParams(text)) found[name] = name in found ? `${found[name]},${value}` : value;
  return found;
}

/** The same, a repeated one's values in a list. */
function listedFields(text) {
  const found = Object.create(null); // clients choose the names
  for (const [name, value] of new URLSearchParams(text)) found[name] = name in found ? [found[name], value].flat() : value;
  return found;
}

/** What gateways say of where a request came to, and from whom. */
function origin(request, path) {
  const host = request.headers.host ?? '';
  return {
    domainName: host,
    domainPrefix: host.split('.')[0],
    http: { method: request.method, path, protocol: 'HTTP/1.1', sourceIp: clientAddress(request), userAgent: request.headers['user-agent'] ?? '' },
  };
}

module.exports = { boxed, isBinary, joinedFields, listedFields, origin };
