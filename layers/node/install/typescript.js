// Compile a folder's TypeScript beside its sources: `typescript.js ESBUILD FOLDER`. Node by itself only cuts types out of a file, so
// that imports which are types alone stay, as enums, decorators and imports without a suffix do. No types are checked.
'use strict';

const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const BUILT = { '.ts': '.js', '.tsx': '.js', '.mts': '.mjs', '.cts': '.cjs' };
const LEFT_OUT = new Set(['node_modules', '.git', '.fnctl']);

/** The sources that nothing was made of yet, relative to the folder. */
function* sources(folder, inside = '') {
  for (const entry of fs.readdirSync(path.join(folder, inside), { withFileTypes: true })) {
    const name = path.join(inside, entry.name);
    if (entry.isDirectory()) {
      if (!LEFT_OUT.has(entry.name)) yield* sources(folder, name);
    } else if (path.extname(name) in BUILT && !/\.d\.[mc]?ts$/.test(name) && !fs.existsSync(path.join(folder, built(name)))) yield name;
  }
}

const built = (name) => name.slice(0, -path.extname(name).length) + BUILT[path.extname(name)];

function isModule(folder) {
  try {
    return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).type === 'module';
  } catch {
    return false;
  }
}

function main([esbuild, folder]) {
  process.umask(0o022); // another user reads there
  const found = [...sources(folder)];
  const formats = { '.js': isModule(folder) ? 'esm' : 'cjs', '.mjs': 'esm', '.cjs': 'cjs' };
  return Object.entries(formats).reduce((status, [suffix, format]) => {
    const files = found.filter((name) => built(name).endsWith(suffix));
    if (files.length === 0) return status;
    const words = [`--format=${format}`, `--out-extension:.js=${suffix}`, '--platform=node', '--target=node22', '--sourcemap=inline', '--sources-content=false'];
    const run = spawnSync(esbuild, [...files, ...words, '--outbase=.', '--outdir=.', '--log-level=warning'], { cwd: folder, stdio: 'inherit' });
    return status || (run.status ?? 1);
  }, 0);
}

process.exitCode = main(process.argv.slice(2));
