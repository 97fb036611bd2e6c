// A to-do list: an ordinary Express app, which also runs as it is with `node app.js`. It knows nothing of fnctl.
'use strict';

const express = require('express');
const { randomUUID } = require('node:crypto');

const MAX_TITLE = 200;
const MAX_PAGE = 100;

// In memory on purpose: see README.md for what becomes of it when the process ends.
const todos = new Map();

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

function wholeNumber(value, name, fallback, least, most) {
  if (value === undefined) return fallback;
  const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN;
  if (number >= least && number <= most) return number;
  throw new Refused(400, 'bad_request', `${name} must be a whole number from ${least} to ${most}`);
}

function doneFilter(value) {
  if (value === undefined) return undefined;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new Refused(400, 'bad_request', 'done must be true or false');
}

// The fields of a todo that the body sets, checked.
function fieldsOf(body, { required }) {
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

function find(id) {
  const todo = todos.get(id);
  if (!todo) throw new Refused(404, 'not_found', `there is no todo ${id}`);
  return todo;
}

const app = express();
app.disable('x-powered-by');
app.use(express.json({ limit: '16kb', strict: false }));
app.use('/api', (req, res, next) => {
  res.set('X-Todo-Store', 'memory'); // the page tells its reader
  next();
});

app.get('/', (req, res) => res.sendFile('page.html', { root: __dirname }));

app.get('/api/todos', (req, res) => {
  const limit = wholeNumber(req.query.limit, 'limit', 50, 1, MAX_PAGE);
  const offset = wholeNumber(req.query.offset, 'offset', 0, 0, 1e9 - 1);
  const done = doneFilter(req.query.done);
  const all = [...todos.values()].filter((todo) => done === undefined || todo.done === done);
  res.json({ items: all.slice(offset, offset + limit), total: all.length, limit, offset });
});

app.post('/api/todos', (req, res) => {
  const fields = fieldsOf(req.body, { required: true });
  const todo = { id: randomUUID(), done: false, ...fields, created: new Date().toISOString() };
  todos.set(todo.id, todo);
  res.status(201).location(`todos/${todo.id}`).json(todo);
});

app.get('/api/todos/:id', (req, res) => res.json(find(req.params.id)));

app.patch('/api/todos/:id', (req, res) => {
  const fields = fieldsOf(req.body, { required: false });
  res.json(Object.assign(find(req.params.id), fields));
});

app.post('/api/todos/:id/complete', (req, res) => {
  res.json(Object.assign(find(req.params.id), { done: true }));
});

app.delete('/api/todos/:id', (req, res) => {
  find(req.params.id);
  todos.delete(req.params.id);
  res.status(204).end();
});

app.use((req) => {
  throw new Refused(404, 'not_found', `there is nothing at ${req.path}`);
});

app.use((error, req, res, next) => {
  if (res.headersSent) return next(error);
  const status = error.status ?? 500;
  if (status >= 500) console.error(error);
  const code = error instanceof Refused ? error.code : status >= 500 ? 'internal' : 'bad_request';
  return res.status(status).json({ error: { code, message: status >= 500 ? 'the app failed' : error.message } });
});

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error; // the port is taken, say
  console.log(`todolist on http://localhost:${server.address().port}`);
});
