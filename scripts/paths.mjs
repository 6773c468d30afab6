import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

export function inRepository(path) {
  return join(ROOT, path);
}

/** The Node that the lockfile pins; where no package has it (macOS), the one that runs us, if it is new enough. */
export function nodeForJobs() {
  const pinned = inRepository('node_modules/.bin/node');
  if (existsSync(pinned)) return pinned;
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 19)) return process.execPath;
  throw new Error(
    `Posthorn needs Node 22.19 or later and this is ${process.version}: no packaged Node exists for ` +
      `${process.platform}-${process.arch}, so please install one from https://nodejs.org`,
  );
}

/** Programs of our packages first, so that a child that runs `node` gets the pinned one. */
export function environment(extra = {}) {
  const path = [inRepository('node_modules/.bin'), ...outerPath()].join(delimiter);
  return { ...process.env, ...extra, PATH: path };
}

/** PATH as it is outside the repository: npm puts node_modules/.bin in front, whose Node `npm ci` deletes under itself. */
export function outerPath() {
  const ours = inRepository('node_modules/.bin');
  return (process.env.PATH ?? '').split(delimiter).filter((entry) => entry !== '' && entry !== ours);
}
