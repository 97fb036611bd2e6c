// Run with `npm test`. A handler is a plain function: give it an event. What talks to the data service needs one:
// DATA_URL=http://127.0.0.1:PORT npm test
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const todos = require('../ephemeral/todos.js');

const needsData = { skip: process.env.DATA_URL ? false : 'DATA_URL names no data service' };
const event = (rest) => ({ query: {}, params: {}, ...rest });

test('the page is HTML', async () => {
  const response = await todos.page(event());
  assert.match(response.headers['content-type'], /^text\/html/);
  assert.match(response.body, /<title>To do<\/title>/);
});

test('what cannot be a todo is refused before the data service is asked', async () => {
  for (const json of [undefined, null, 'x', [], {}, { title: ' ' }, { title: 7 }, { title: 'x', done: 'no' }]) {
    assert.equal((await todos.create(event({ json }))).statusCode, 400, JSON.stringify(json));
  }
  for (const query of [{ limit: '0' }, { limit: '101' }, { offset: '-1' }, { done: 'maybe' }]) {
    assert.equal((await todos.list(event({ query }))).statusCode, 400, JSON.stringify(query));
  }
});

test('an id that the data service would not take is not found', async () => {
  assert.equal((await todos.get(event({ params: { id: '../other' } }))).statusCode, 404);
});

test('a todo is added, completed and deleted', needsData, async () => {
  const made = await todos.create(event({ json: { title: 'Milk' } }));
  assert.equal(made.statusCode, 201);
  const one = event({ params: { id: made.body.id } });
  assert.deepEqual((await todos.complete(one)).body, { ...made.body, done: true });
  assert.deepEqual((await todos.get(one)).body, { ...made.body, done: true });
  assert.equal((await todos.remove(one)).statusCode, 204);
  assert.equal((await todos.get(one)).statusCode, 404);
});
