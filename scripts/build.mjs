import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runQuietly } from './child.mjs';
import { environment, inRepository, nodeForJobs } from './paths.mjs';

const SOURCES = ['apps', 'libs', 'migrations', 'test/support', 'test/bench', 'test/faults'];
const SETTINGS = [
  'tsconfig.json',
  'tsconfig.build.json',
  'nest-cli.json',
  'package.json',
  'package-lock.json',
];
// Inside dist, so that it vanishes with it.
const STAMP = 'dist/.posthorn-built';

/** Compiles when a source differs from the ones that dist was made of. By content: git and cp change times. */
export async function buildIfChanged(onStart) {
  const wanted = hashOf([
    ...SOURCES.flatMap(filesUnder),
    ...SETTINGS.filter((path) => existsSync(inRepository(path))),
  ]);
  if (existsSync(inRepository(STAMP)) && readFileSync(inRepository(STAMP), 'utf8') === wanted) return;
  // Gone first, back last: after a kill in between the next command builds again.
  rmSync(inRepository(STAMP), { force: true });
  removeOrphans();
  const nest = inRepository('node_modules/@nestjs/cli/bin/nest.js');
  const { code, output } = await runQuietly(nodeForJobs(), [nest, 'build'], environment(), onStart);
  if (code !== 0) throw new Error(`${output}\nThe build failed; its errors are above.`);
  writeFileSync(inRepository(STAMP), wanted);
}

function hashOf(paths) {
  const hash = createHash('sha256');
  for (const path of paths.sort()) {
    const content = readFileSync(inRepository(path));
    hash.update(`${path}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** The compiler never deletes: without this the output of a removed migration would still be run. */
function removeOrphans() {
  const orphans = filesUnder('dist').filter((path) => {
    const stem = /^dist\/(.+?)(\.d\.ts|\.js)(\.map)?$/.exec(path)?.[1];
    return stem !== undefined && !existsSync(inRepository(`${stem}.ts`));
  });
  // Its memory of what it wrote goes first, or it would leave out a file whose source comes back.
  if (orphans.length > 0) rmSync(inRepository('dist/.tsbuildinfo'), { force: true });
  for (const path of orphans) rmSync(inRepository(path));
}

function filesUnder(directory) {
  if (!existsSync(inRepository(directory))) return [];
  return readdirSync(inRepository(directory)).flatMap((name) => {
    const path = join(directory, name);
    return statSync(inRepository(path)).isDirectory() ? filesUnder(path) : [path];
  });
}
