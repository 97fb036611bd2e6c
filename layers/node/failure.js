// What went wrong with loading a function, as `load_failed` says it.
'use strict';

const path = require('path');

const MAX_TEXT = 64 << 10; // characters kept of a message or a stack: far below the protocol's bound of a line
const CHECK_MS = 2_000;

/** File and line are the user's own code, where known. `handler` is looked at where the error itself names no place. */
function loadFailure(error, root, handler) {
  const thrown = error instanceof Error ? error : new Error(`threw ${String(error)}`);
  const stack = ownStack(thrown);
  return {
    op: 'load_failed',
    type: thrown.name || 'Error',
    message: String(thrown.message).slice(0, MAX_TEXT),
    ...(place(stack, root) ?? checked(thrown, root, handler)),
    stack: stack.slice(0, MAX_TEXT),
  };
}

/** The stack without the agent's frames and those of Node's loader below the user's. */
function ownStack(error) {
  const lines = String(error.stack ?? error).split('\n');
  return lines.filter((line) => !line.includes(`${__dirname}/`) && !/^ +at .*\(?node:internal\/modules\//.test(line)).join('\n');
}

/** The first place in the user's code that a stack names: a SyntaxError's first line, or a frame. */
function place(stack, root) {
  for (const line of stack.split('\n')) {
    const found = /^(\/.*?|file:\/\/.*?):(\d+)$/.exec(line) ?? /^ +at .*?((?:file:\/\/)?\/[^()]*?):(\d+)(?::\d+)?\)?$/.exec(line);
    const file = found?.[1].replace(/^file:\/\//, '');
    if (file?.startsWith(`${root}/`)) return { file: file.slice(root.length + 1), line: Number(found[2]) };
  }
  return undefined;
}

/** An ES module's SyntaxError keeps its place where only Node can print it: so let Node print it. */
function checked(error, root, handler) {
  const file = path.resolve(root, handler ?? '');
  if (error.name !== 'SyntaxError' || !path.extname(file)) return {};
  const { spawnSync } = require('child_process'); // only here: it costs each boot 2 ms
  const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: CHECK_MS });
  return place(stderr ?? '', root) ?? {};
}

module.exports = { loadFailure, ownStack, place };
