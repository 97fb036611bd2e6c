// The caches that came with the bundle, for reading: packed modules, and Node's own compile cache. Not their making.
'use strict';

const fs = require('fs');
const Module = require('module');
const path = require('path');
const pack = require('./pack.js');

let linked; // the folder in which Node looks for its cache, once there is one

const BUNDLED = path.join('.fnctl', 'compile-cache');

/**
 * Use the bundle's packed modules, and its compile cache for ES modules, where it has them for this Node. Node keeps a
 * folder a version and *user*, and every sandbox has a user of its own: so the one bundled folder is linked under the
 * name that this user's would have. Anything that does not fit costs time only, so nothing here fails a load.
 */
function useBundledCache(root, scratch) {
  pack.use(path.join(root, BUNDLED));
  try {
    const bundled = path.join(root, BUNDLED);
    const prefix = `${process.version}-${process.arch}-`;
    const folder = fs.readdirSync(bundled).find((name) => name.startsWith(prefix));
    if (!folder) return;
    const link = linked = fs.mkdtempSync(path.join(scratch, '.node-compile-cache-'));
    const own = folder.replace(/^(.*-[0-9a-f]{8})(?:-\d+)?$/, `$1-${process.getuid()}`);
    fs.symlinkSync(path.join(bundled, folder), path.join(link, own));
    Module.enableCompileCache(link);
  } catch {
    // no cache, no loss
  }
}

/** Take away what was linked: what is loaded from now on is compiled. */
function dropBundledCache() {
  if (linked) fs.rmSync(linked, { recursive: true, force: true });
}

module.exports = { dropBundledCache, useBundledCache };
