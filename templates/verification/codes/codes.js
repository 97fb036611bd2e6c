// Codes that prove an address: made, checked, forgotten. Each is a record of the data service, one for an address.
// {"do": "make" | "check" | "forget", "address": …}
'use strict';

const { createHash, randomInt } = require('node:crypto');

const DATA = `${process.env.DATA_URL ?? 'http://data'}/codes`;
const VALID_S = 600;
const TRIES = 5;

exports.handler = async (event) => {
  const asked = event.json ?? {};
  if (typeof asked.address !== 'string' || !Object.hasOwn(actions, asked.do)) {
    return { statusCode: 400, body: 'send {"do": "make", "check" or "forget", "address": …}' };
  }
  return actions[asked.do](asked);
};

// A new code; one that the address had before is void. `valid_s` may make it shorter-lived than usual, `callback` is
// given back once the code was entered.
const actions = {
  async make({ address, valid_s: validS = VALID_S, callback = null }) {
    const code = String(randomInt(1_000_000)).padStart(6, '0');
    const expires = Date.now() + Math.min(Number(validS) || 0, VALID_S) * 1000;
    await data('PUT', idOf(address), { code, expires, callback, tries: 0 });
    return { code, expires: new Date(expires).toISOString() };
  },

  // {"is": "verified" | "wrong" | "expired" | "unknown"}. A code is good for once, and for five tries.
  async check({ address, code }) {
    for (;;) {
      const { status, body: kept, etag } = await data('GET', idOf(address));
      if (status === 404) return { is: 'unknown' };
      if (Date.now() > kept.expires) return { is: 'expired' };
      if (kept.tries >= TRIES) return { is: 'wrong', tries_left: 0 };
      // The try is counted before the code is looked at, and only if nobody else tried meanwhile.
      const counted = await data('PATCH', idOf(address), { tries: kept.tries + 1 }, etag);
      if (counted.status === 412 || counted.status === 404) continue;
      if (code !== kept.code) return { is: 'wrong', tries_left: TRIES - counted.body.tries };
      const gone = await data('DELETE', idOf(address));
      return gone.status === 404 ? { is: 'unknown' } : { is: 'verified', callback: kept.callback };
    }
  },

  async forget({ address }) {
    const { status } = await data('DELETE', idOf(address));
    return { forgotten: status !== 404 };
  },
};

// By a timer: what expired more than an hour ago. Until then, whoever enters it is told that it has expired.
exports.sweep = async () => {
  const { body: oldest } = await data('GET', '?_sort=expires&_limit=100');
  const old = oldest.filter(({ expires }) => expires < Date.now() - 3_600_000);
  await Promise.all(old.map(({ id }) => data('DELETE', `/${id}`)));
  console.log(`${old.length} old codes removed`);
};

const idOf = (address) => `/${createHash('sha256').update(address.trim().toLowerCase()).digest('hex')}`;

// 404 (none) and 412 (changed meanwhile) are answers; whatever else goes wrong is an error.
async function data(method, path, record, etag) {
  const answer = await fetch(DATA + path, {
    method,
    headers: { ...(record && { 'content-type': 'application/json' }), ...(etag && { 'if-match': etag }) },
    body: record && JSON.stringify(record),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await answer.text();
  if (!answer.ok && ![404, 412].includes(answer.status)) throw new Error(`data: ${method}: ${answer.status} ${text}`);
  return { status: answer.status, etag: answer.headers.get('etag'), body: text ? JSON.parse(text) : null };
}
