// The agent's own modules among the user's: those that only some functions need, loaded on demand, and never in sight.
'use strict';

const path = require('path');

const hidden = {}; // file name → module: the one piece of state, since Node's own registry of modules is one too

/** Take the agent's modules out of the registry that user code can see. */
function hide() {
  for (const file of Object.keys(require.cache)) {
    if (!file.startsWith(`${__dirname}${path.sep}`)) continue;
    hidden[file] = require.cache[file];
    delete require.cache[file];
  }
}

/** Load one of the agent's files, with the modules that it shares with the rest of the agent. */
function load(name) {
  Object.assign(require.cache, hidden);
  try {
    return require(path.join(__dirname, name));
  } finally {
    hide();
  }
}

module.exports = { hide, load };
