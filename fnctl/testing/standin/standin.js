// What runs in place of a function that a test mocks: answers as the test said, one after the other, and keeps what it
// was asked. PUT /.stand-in sets the answers, GET /.stand-in tells the calls.
'use strict';

let answers = [{ value: null }];
let calls = [];

exports.handler = async (event) => {
  if (event.path === '/.stand-in') {
    if (event.method === 'GET') return answer(calls);
    answers = event.json;
    calls = [];
    return answer(null);
  }
  const given = answers[Math.min(calls.length, answers.length - 1)];
  calls.push(asked(event.body));
  return 'status' in given ? { statusCode: given.status, body: given.body } : answer(given.value);
};

const answer = (value) => ({
  statusCode: 200,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
});

// As JSON where it is any, whatever its type is said to be: as text otherwise.
function asked(body) {
  try {
    return JSON.parse(body);
  } catch {
    return body ?? null;
  }
}
