// Real: the built processes, up to where they have read all that they are made of and miss their DATABASE_URL.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { builtFile } from '../support/child.js';

// Loaded before anything else; its last line is what was loaded after it.
const LISTS_PACKAGES = `
  import { registerHooks } from 'node:module';
  const packages = new Set();
  registerHooks({
    load(url, context, next) {
      packages.add(/.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1]);
      return next(url, context);
    },
  });
  process.on('exit', () => console.log([...packages].join(' ')));
`;
const FOR_REQUESTS = ['@nestjs/core', '@nestjs/swagger', 'class-transformer', 'class-validator', 'fastify'];

async function packagesOf(app: string, ...args: string[]): Promise<string[]> {
  const lists = `data:text/javascript,${encodeURIComponent(LISTS_PACKAGES)}`;
  const all = ['--import', lists, builtFile(`apps/${app}/src/main.js`), ...args];
  // Without a database api and worker end with a sentence and 1.
  const { stdout } = await promisify(execFile)(process.execPath, all, { env: {} }).catch(
    (error: { stdout: string }) => error,
  );
  return stdout.trimEnd().split('\n').at(-1)!.split(' ');
}

it.each([['worker'], ['cli', '--help']])('%s loads nothing that only reads requests', async (...started) => {
  const packages = await packagesOf(...(started as [string]));
  expect(packages).toContain('typeorm');
  expect(packages.filter((each) => FOR_REQUESTS.includes(each))).toEqual([]);
});

it('api does, so that it would be seen', async () => {
  expect(await packagesOf('api')).toEqual(expect.arrayContaining(FOR_REQUESTS));
});
