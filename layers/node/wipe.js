// Emptying the folders that a function can write to. Assumes that nobody else runs in the sandbox.
'use strict';

// taken now: code that is loaded later may put its own functions in their place
const { chmodSync, lstatSync, readdirSync, renameSync, rmdirSync, unlinkSync } = require('fs');

/** What is in a folder, names as bytes. Nothing where it is not there or not ours to read: it cannot be written either. */
function entries(folder) {
  try {
    return readdirSync(folder, { encoding: 'buffer' });
  } catch {
    return [];
  }
}

const isEmpty = (folder) => entries(folder).length === 0;

const inside = (folder, name) => Buffer.concat([folder, Buffer.from('/'), name]);

/**
 * Remove everything inside; true where nothing is left. Follows no links and does not recurse: folders inside folders
 * are moved up to the top first, so that neither depth nor the length of a path is bounded.
 */
function wipe(name) {
  const top = Buffer.from(name);
  let serial = 0;
  let progress = true;
  for (let found = entries(top); found.length; found = entries(top)) {
    if (!progress) return false;
    progress = false;
    for (const entry of found) {
      try {
        const path = inside(top, entry);
        if (lstatSync(path).isDirectory()) {
          serial = flatten(path, top, serial);
          rmdirSync(path);
        } else unlinkSync(path);
        progress = true;
      } catch {
        // it is looked at again while others go
      }
    }
  }
  return true;
}

/** Take out of a folder what is in it. */
function flatten(folder, top, serial) {
  chmodSync(folder, 0o700);
  for (const entry of entries(folder)) {
    const path = inside(folder, entry);
    if (!lstatSync(path).isDirectory()) {
      unlinkSync(path);
      continue;
    }
    chmodSync(path, 0o700); // moving a folder rewrites its `..`
    let target;
    do target = inside(top, Buffer.from(`.wipe-${(serial += 1)}`));
    while (lstatSync(target, { throwIfNoEntry: false }));
    renameSync(path, target);
  }
  return serial;
}

module.exports = { isEmpty, wipe };
