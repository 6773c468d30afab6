import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { runQuietly } from './child.mjs';
import { inRepository, outerPath } from './paths.mjs';

// Inside node_modules, so that it vanishes with it: `npm ci` deletes the whole directory first.
const STAMP = 'node_modules/.posthorn-installed';

/** Installs exactly what the lockfile says, when it says something else than last time. */
export async function installIfChanged(onStart) {
  const lockfile = readFileSync(inRepository('package-lock.json'), 'utf8');
  const wanted = createHash('sha256').update(lockfile).digest('hex');
  if (read(STAMP) === wanted) return;
  if (!isInstalled(JSON.parse(lockfile))) await install(onStart);
  // Last: a kill before this line only means that the next command installs again.
  writeFileSync(inRepository(STAMP), wanted);
}

/**
 * After a developer's own `npm install` nothing is left to do. npm writes its record of what it put into
 * node_modules as its last step; packages for other systems are in the lockfile and rightly not in the record.
 */
function isInstalled(lockfile) {
  const record = JSON.parse(read('node_modules/.package-lock.json') ?? '{}').packages;
  if (record === undefined) return false;
  const wanted = Object.entries(lockfile.packages).filter(([path]) => path !== '');
  const isThere = ([path, entry]) =>
    record[path] === undefined
      ? entry.optional === true && !isForThisSystem(entry)
      : record[path].version === entry.version && record[path].integrity === entry.integrity;
  return wanted.every(isThere) && Object.keys(record).every((path) => path in lockfile.packages);
}

// A libc is named by packages of which one variant is left out on purpose, and without os and cpu there is no telling.
function isForThisSystem({ os, cpu, libc }) {
  if (libc !== undefined || os === undefined || cpu === undefined) return false;
  return os.includes(process.platform) && cpu.includes(process.arch);
}

async function install(onStart) {
  console.error('Installing packages from package-lock.json (once, up to a minute or two) …');
  // engine-strict off: npm itself may run on an old Node, from which the pinned Node is only being installed.
  // No scripts: nothing of ours needs one (package.json names each as refused, in allowScripts), and one of them (@scarf/scarf) would report this installation to its maker.
  const args = [
    'ci',
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    '--engine-strict=false',
    '--include=dev',
    '--include=optional',
  ];
  const { code, output } = await runQuietly(
    ...npm(args),
    {
      ...process.env,
      PATH: outerPath().join(delimiter),
    },
    onStart,
  );
  if (code !== 0) throw new Error(`${output}\nnpm ci failed (${code}); its output is above.`);
}

/** The npm that started us, if one did: it may not be the one in PATH. */
export function npm(args) {
  const { npm_execpath: cli, npm_node_execpath: node } = process.env;
  const isOutside = node !== undefined && !node.startsWith(inRepository('node_modules'));
  if (isOutside && cli?.endsWith('npm-cli.js') && existsSync(cli) && existsSync(node))
    return [node, [cli, ...args]];
  return ['npm', args];
}

function read(path) {
  try {
    return readFileSync(inRepository(path), 'utf8');
  } catch {
    return undefined;
  }
}
