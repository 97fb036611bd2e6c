// Calls a handler that answers by a callback, a promise, or its return value. Not what the answer means.
'use strict';

/**
 * The answer of `handler(...args, callback)`, a promise's before all: a handler that takes the callback is waited for, any
 * other is done when it returns. `wire(resolve, reject)` gives it a further way to answer, such as `context.succeed`:
 * then one that returns nothing may still use it. Rejects with what the handler threw, or gave the callback first.
 */
function answerOf(handler, args, wire) {
  return new Promise((resolve, reject) => {
    const callback = (error, result) => (error === null || error === undefined ? resolve(result) : reject(error));
    wire?.(resolve, reject, callback);
    const returned = handler(...args, callback);
    if (typeof returned?.then === 'function') returned.then(resolve, reject);
    else if (handler.length > args.length) return; // the callback answers
    else if (returned !== undefined || !wire || handler.length < args.length) resolve(returned);
  });
}

module.exports = { answerOf };
