// Run with `npm test`. A handler is a plain function, so a test needs no platform: give it an event and a context.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { handler } = require('../handler.js');

const context = { id: 'test' };

test('greets by name', async () => {
  const response = await handler({ query: { name: 'Ada' } }, context);
  assert.equal(response.body.message, 'Hello, Ada!');
});

test('greets the world when nobody is named', async () => {
  const response = await handler({ query: {} }, context);
  assert.equal(response.statusCode, 200);
  assert.deepEqual(response.body, { message: 'Hello, world!', id: 'test' });
});
