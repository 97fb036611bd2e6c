// A function: takes an event, gives back a response. What it can read and return stands in README.md.
'use strict';

exports.handler = async (event, context) => {
  const name = event.query.name ?? 'world';
  return { statusCode: 200, body: { message: `Hello, ${name}!`, id: context.id } };
};
