// The same to-do list as single functions, one a control action. Each invocation gets a fresh process, so nothing is
// kept in here: the todos are in the data service at DATA_URL. Only Node's own modules, so that loading takes no time.
'use strict';

const { readFileSync } = require('node:fs');
const { Agent, request } = require('node:http');
const { join } = require('node:path');

const DATA_URL = process.env.DATA_URL ?? 'http://data';
const MAX_TITLE = 200;
const MAX_PAGE = 100;
const DATA_TIMEOUT_MS = 10_000;
const STORE = { 'x-todo-store': 'data service' }; // the page tells its reader
const agent = new Agent({ keepAlive: false }); // a process that ends needs no connection kept

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

// One call to the data service. Not fetch(): its first call in a process takes 30 ms longer than node:http's.
function data(method, path, record) {
  const payload = record === undefined ? undefined : JSON.stringify(record);
  const headers = payload ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) } : {};
  return new Promise((resolve, reject) => {
    const options = { method, headers, agent, signal: AbortSignal.timeout(DATA_TIMEOUT_MS) };
    const call = request(new URL(path, DATA_URL), options, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { statusCode: status, headers: answered } = response;
        if (status < 300) resolve({ status, headers: answered, body: text ? JSON.parse(text) : null });
        else if (status === 404) resolve({ status });
        else reject(new Error(`data service: ${method} ${path}: ${status} ${text}`));
      });
    });
    call.on('error', (error) => reject(new Error(`data service at ${DATA_URL}: ${error.message}`, { cause: error })));
    call.end(payload);
  });
}

const todoOf = ({ id, title, done, created }) => ({ id, title, done, created });

// The id of the path, as the data service takes it: what it would not take as an id is nobody's.
function idOf(event) {
  const { id } = event.params;
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/.test(id)) return id;
  throw new Refused(404, 'not_found', `there is no todo ${id}`);
}

function found(answer, event) {
  if (answer.status === 404) throw new Refused(404, 'not_found', `there is no todo ${event.params.id}`);
  return answer.body;
}

function wholeNumber(value, name, fallback, least, most) {
  if (value === undefined) return fallback;
  const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN;
  if (number >= least && number <= most) return number;
  throw new Refused(400, 'bad_request', `${name} must be a whole number from ${least} to ${most}`);
}

function doneFilter(value) {
  if (value === undefined || value === 'true' || value === 'false') return value;
  throw new Refused(400, 'bad_request', 'done must be true or false');
}

// The fields of a todo that the event's body sets, checked.
function fieldsOf(event, { required }) {
  const body = event.json;
  if (!body || typeof body !== 'object' || Array.isArray(body)) {
    throw new Refused(400, 'bad_request', 'send a JSON object');
  }
  const fields = {};
  if (body.title !== undefined || required) {
    const title = typeof body.title === 'string' ? body.title.trim() : '';
    if (!title || title.length > MAX_TITLE) {
      throw new Refused(400, 'bad_request', `title must be text of 1 to ${MAX_TITLE} characters`);
    }
    fields.title = title;
  }
  if (body.done !== undefined) {
    if (typeof body.done !== 'boolean') throw new Refused(400, 'bad_request', 'done must be true or false');
    fields.done = body.done;
  }
  if (Object.keys(fields).length === 0) throw new Refused(400, 'bad_request', 'give a title or done');
  return fields;
}

// A handler out of an action: what the action refuses becomes a response; any other error is a crash, and logged as one.
const handler = (action) => async (event) => {
  try {
    const { statusCode = 200, headers = {}, body } = await action(event);
    return { statusCode, headers: { ...STORE, ...headers }, ...(body === undefined ? {} : { body }) };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { statusCode: error.status, headers: STORE, body: { error: { code: error.code, message: error.message } } };
  }
};

exports.page = async () => ({
  statusCode: 200,
  headers: { 'content-type': 'text/html; charset=utf-8' },
  body: readFileSync(join(__dirname, 'page.html'), 'utf8'),
});

exports.list = handler(async ({ query }) => {
  const limit = wholeNumber(query.limit, 'limit', 50, 1, MAX_PAGE);
  const offset = wholeNumber(query.offset, 'offset', 0, 0, 1e9 - 1);
  const done = doneFilter(query.done);
  const answer = await data('GET', `/todos?_limit=${limit}&_offset=${offset}${done ? `&done=${done}` : ''}`);
  const total = Number(answer.headers['x-total-count']);
  return { body: { items: answer.body.map(todoOf), total, limit, offset } };
});

exports.create = handler(async (event) => {
  const fields = fieldsOf(event, { required: true });
  const { body } = await data('POST', '/todos', { done: false, ...fields });
  return { statusCode: 201, headers: { location: `todos/${body.id}` }, body: todoOf(body) };
});

exports.get = handler(async (event) => ({
  body: todoOf(found(await data('GET', `/todos/${idOf(event)}`), event)),
}));

exports.update = handler(async (event) => {
  const fields = fieldsOf(event, { required: false });
  return { body: todoOf(found(await data('PATCH', `/todos/${idOf(event)}`, fields), event)) };
});

exports.complete = handler(async (event) => ({
  body: todoOf(found(await data('PATCH', `/todos/${idOf(event)}`, { done: true }), event)),
}));

exports.remove = handler(async (event) => {
  found(await data('DELETE', `/todos/${idOf(event)}`), event);
  return { statusCode: 204 };
});
