// Run with `npm test`, after `npm ci`. Starts the app as `node app.js` does, and talks HTTP to it.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { join } = require('node:path');
const { createInterface } = require('node:readline');
const { after, before, test } = require('node:test');

let app;
let address;

before(async () => {
  const env = { ...process.env, PORT: '0' };
  app = spawn(process.execPath, [join(__dirname, '..', 'app.js')], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: app.stdout }), 'line');
  address = line.split(' ').at(-1);
});

after(() => app.kill());

async function call(method, path, body) {
  const response = await fetch(address + path, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, json: text ? JSON.parse(text) : null };
}

test('a todo is added, completed and deleted', async () => {
  const made = await call('POST', '/api/todos', { title: '  Milk ' });
  assert.equal(made.status, 201);
  assert.equal(made.json.title, 'Milk');
  assert.equal(made.json.done, false);
  const completed = await call('POST', `/api/todos/${made.json.id}/complete`);
  assert.deepEqual(completed.json, { ...made.json, done: true });
  assert.deepEqual((await call('GET', `/api/todos/${made.json.id}`)).json, completed.json);
  assert.equal((await call('DELETE', `/api/todos/${made.json.id}`)).status, 204);
  assert.equal((await call('GET', `/api/todos/${made.json.id}`)).status, 404);
});

test('a title is needed', async () => {
  for (const body of [undefined, [], {}, { title: ' ' }, { title: 7 }, { title: 'x'.repeat(201) }]) {
    const refused = await call('POST', '/api/todos', body);
    assert.equal(refused.status, 400, JSON.stringify(body));
    assert.equal(refused.json.error.code, 'bad_request');
  }
});

test('the page is served', async () => {
  const response = await fetch(`${address}/`);
  assert.equal(response.status, 200);
  assert.match(await response.text(), /<title>To do<\/title>/);
});
