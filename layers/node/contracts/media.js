// Which media types are bytes and which are text, where a platform puts bodies into JSON. Not their parsing.
'use strict';

const { asText } = require('../exchange.js');

const BINARY = /^(image\/(?!svg)|audio\/|video\/|font\/|application\/(octet-stream|pdf|zip|gzip|x-gzip|x-tar|wasm|protobuf|x-protobuf|grpc|vnd\.ms-|vnd\.openxml))/i;

const isBinary = (type) => BINARY.test((type ?? '').trim());

/** A body as text, or in base64 where its type says bytes, or it is no UTF-8. */
function boxed(bytes, type) {
  const text = isBinary(type) ? undefined : asText(bytes);
  return text === undefined ? { body: bytes.toString('base64'), isBase64Encoded: true } : { body: text, isBase64Encoded: false };
}

module.exports = { boxed, isBinary };
