// Certificate authorities of a function's own. Node reads NODE_EXTRA_CA_CERTS at its start, which was before the function was known.
'use strict';

const fs = require('fs');

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const bare = (text) => text.replace(/\s/g, '');

/** Trust the certificates in `file` beside Node's own, in whatever connects from now on. */
function trust(file) {
  let text;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    console.error(`NODE_EXTRA_CA_CERTS: ${error.message}`); // Node starts without them, too
    return;
  }
  const tls = require('tls');
  const own = tls.getCACertificates('default');
  const known = new Set(own.map(bare));
  const more = (text.match(CERTIFICATE) ?? []).filter((each) => !known.has(bare(each)));
  if (more.length > 0) tls.setDefaultCACertificates([...own, ...more]);
}

module.exports = { trust };
