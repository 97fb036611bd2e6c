// A function: gets an event, returns a response. README.md says what it can read and return.
'use strict';

exports.handler = async (event, context) => {
  const name = event.query.name ?? 'world';
  return { statusCode: 200, body: { message: `Hello, ${name}!`, id: context.id } };
};
