// CloudEvents over HTTP: handler(event, context) → an event, or nothing. Not batches.
//
// github.com/cloudevents/spec 1.0.2: spec.md (attributes), bindings/http-protocol-binding.md (binary and structured mode,
// "HTTP Header Values"), formats/json-format.md.
'use strict';

const { randomUUID } = require('crypto');
const { BadResponse, EMPTY, asText, clientHeaders, encoded, exchangeServer, isJson } = require('../exchange.js');
const { kind, nature } = require('../code.js');
const { toContext } = require('../events.js');

const STRUCTURED = /^application\/cloudevents\+json\b/i;
const BATCH = /^application\/cloudevents-batch\b/i;
const ANY_EVENT = /^application\/cloudevents\b/i;
const REQUIRED = ['id', 'source', 'specversion', 'type'];
const SPEC = '1.0';
const NAME = /^[a-z0-9]+$/; // of an attribute
const TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/; // RFC 3339

/** The request is no event: the client's to mend. */
class Malformed extends Error {
  constructor(message, status = 400) {
    super(message);
    this.status = status;
  }
}

async function serve(code, load) {
  const handler = await code.callable();
  return exchangeServer(async (request, body) => {
    const headers = clientHeaders(request);
    let event;
    try {
      event = toEvent(headers, body);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return { status: error.status, ...encoded({ error: { type: 'MalformedEvent', message: error.message } }) };
    }
    return toResponse(await handler(event, toContext(load, request)), headers);
  });
}

// --- in ---

function toEvent(headers, body) {
  const type = headers['content-type'] ?? '';
  if (BATCH.test(type)) throw new Malformed('batches of events are not taken here; send one event a request', 415);
  if (STRUCTURED.test(type)) return checked(structured(body));
  if (ANY_EVENT.test(type)) throw new Malformed(`the event format ${type} is not known; application/cloudevents+json is`, 415);
  return checked(binary(headers, body));
}

function structured(body) {
  const text = asText(body);
  let event;
  try {
    event = JSON.parse(text);
  } catch (error) {
    throw new Malformed(text === undefined ? 'the event is not UTF-8' : `the event is not JSON: ${error.message}`);
  }
  if (kind(event) !== 'object') throw new Malformed(`the event is a JSON ${kind(event)}, not an object`);
  const { data_base64: boxed, ...rest } = event;
  Object.setPrototypeOf(rest, null);
  if (boxed === undefined) return rest;
  if ('data' in rest) throw new Malformed('the event has both data and data_base64');
  if (typeof boxed !== 'string') throw new Malformed(`data_base64 is ${nature(boxed)}, not a string`);
  return Object.assign(rest, { data: Buffer.from(boxed, 'base64') });
}

function binary(headers, body) {
  const event = Object.create(null); // clients choose the names
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith('ce-')) event[name.slice(3)] = unescaped(name, value);
  }
  if (headers['content-type'] !== undefined) event.datacontenttype = headers['content-type'];
  if (body.length > 0) event.data = data(body, event.datacontenttype);
  return event;
}

/** A header's value: quoted or not, percent-encoded UTF-8. */
function unescaped(name, value) {
  const bare = /^".*"$/.test(value) ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value;
  try {
    return decodeURIComponent(bare.replace(/%(?![0-9a-f]{2})/gi, '%25'));
  } catch {
    throw new Malformed(`the header ${name} is not percent-encoded UTF-8: ${value}`);
  }
}

/** JSON is parsed, text is a string, the rest stays bytes. */
function data(bytes, type) {
  if (isJson(type)) {
    try {
      return JSON.parse(bytes.toString('utf8'));
    } catch (error) {
      throw new Malformed(`data is not ${type}: ${error.message}`);
    }
  }
  return /^text\/|^application\/xml\b|\+xml\b/i.test(type ?? '') ? asText(bytes) ?? bytes : bytes;
}

/** The event, where its attributes are as the specification has them. Throws Malformed. */
function checked(event) {
  const missing = REQUIRED.filter((name) => event[name] === undefined || event[name] === '');
  if (missing.length === REQUIRED.length) throw new Malformed('the request is no CloudEvent: it has neither ce-* headers nor the type application/cloudevents+json');
  if (missing.length > 0) throw new Malformed(`the event lacks ${missing.join(', ')}`);
  if (event.specversion !== SPEC) throw new Malformed(`specversion ${event.specversion} is not known; ${SPEC} is`);
  for (const [name, value] of Object.entries(event)) {
    if (name === 'data') continue;
    if (!NAME.test(name)) throw new Malformed(`"${name}" is no name of an attribute: lower-case letters and digits`);
    if (!['string', 'number', 'boolean'].includes(typeof value)) throw new Malformed(`the attribute ${name} is ${nature(value)}`);
  }
  for (const name of REQUIRED) {
    if (typeof event[name] !== 'string') throw new Malformed(`the attribute ${name} is ${nature(event[name])}, not a string`);
  }
  if (event.time !== undefined && !TIME.test(event.time)) throw new Malformed(`time ${event.time} is not that of RFC 3339`);
  return event;
}

// --- out ---

/** Nothing is 204; an event goes out in the mode that it came in, or the client accepts. */
function toResponse(returned, headers) {
  if (returned === undefined || returned === null) return { status: 204, headers: {}, body: EMPTY };
  const event = outgoing(returned);
  const wantsStructured = STRUCTURED.test(headers['content-type'] ?? '') || /application\/cloudevents\+json/i.test(headers.accept ?? '');
  return wantsStructured ? asStructured(event) : asBinary(event);
}

/** A plain object, or one that knows its own form, as the SDK's CloudEvent does. What has no type and source is no event. */
function outgoing(returned) {
  if (kind(returned) !== 'object') throw new BadResponse(`the handler returned ${nature(returned)}, not a CloudEvent`);
  const { data_base64: boxed, ...given } = typeof returned.toJSON === 'function' ? returned.toJSON() : returned;
  const event = { specversion: SPEC, id: randomUUID(), ...given };
  if (boxed !== undefined) event.data = Buffer.from(boxed, 'base64');
  for (const name of Object.keys(event)) if (event[name] === undefined || event[name] === null) delete event[name];
  try {
    return checked(event);
  } catch (error) {
    throw new BadResponse(`the handler returned no CloudEvent: ${error.message}`);
  }
}

function asStructured({ data: content, ...attributes }) {
  const boxed = content instanceof Uint8Array ? { data_base64: Buffer.from(content).toString('base64') } : content === undefined ? {} : { data: content };
  return { status: 200, headers: { 'content-type': 'application/cloudevents+json; charset=utf-8' }, body: encoded({ ...attributes, ...boxed }).body };
}

function asBinary({ data: content, datacontenttype, ...attributes }) {
  const headers = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, escaped(String(value))]));
  if (content === undefined) return { status: 200, headers, body: EMPTY };
  // A string under a type of JSON is a JSON string, where the data was not text to begin with.
  const made = typeof content === 'string' && isJson(datacontenttype) ? { ...encoded(null), body: Buffer.from(JSON.stringify(content)) } : encoded(content);
  return { status: 200, headers: { ...headers, 'content-type': datacontenttype ?? made.headers['content-type'] }, body: made.body };
}

/** A header's value: space, quote, percent and everything outside printable ASCII percent-encoded. */
const escaped = (value) => value.toWellFormed().replace(/[^\x21\x23\x24\x26-\x7e]/gu, (character) => encodeURIComponent(character));

module.exports = { serve };
