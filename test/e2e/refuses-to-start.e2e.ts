/**
 * Promise: nothing starts with a hole that the operator did not mean. Real: api, worker and `posthorn up` as processes.
 *
 *   start with certificates unchecked, with a secret that is none, with one secret twice → one sentence, exit code 1
 *   start a worker with POSTHORN_METRICS_KEY → its /metrics asks for it
 */
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { runProcess } from '../support/running-process.js';
import { startWorker } from '../support/processes.js';

const PROGRAMS: [name: string, entry: string, args: string[]][] = [
  ['api', 'apps/api/src/main.js', []],
  ['worker', 'apps/worker/src/main.js', []],
  ['posthorn up', 'apps/cli/src/main.js', ['up']],
];
const random = () => randomBytes(24).toString('hex');

it.each(PROGRAMS)('%s names what is wrong and starts nothing', async (_, entry, args) => {
  const twice = random();
  const weak = 'changeme-changeme-changeme-changeme!';
  for (const [env, sentence] of [
    [{ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, /NODE_TLS_REJECT_UNAUTHORIZED must not be 0/],
    [{ POSTHORN_ADMIN_KEY: weak }, /POSTHORN_ADMIN_KEY reads like an example/],
    [{ POSTHORN_ADMIN_KEY: 'short' }, /POSTHORN_ADMIN_KEY must have at least 32/],
    [{ POSTHORN_ADMIN_KEY: twice, POSTHORN_METRICS_KEY: twice }, /must not be the same/],
  ] as [Record<string, string>, RegExp][]) {
    // Nothing listens there: whoever got so far would say that instead.
    const exit = await runProcess(entry, args, { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/none', ...env });
    expect(exit.code).toBe(1);
    expect(exit.output).toMatch(sentence);
    expect(exit.output).not.toMatch(/\n\s+at /);
    for (const secret of [weak, twice]) expect(exit.output).not.toContain(secret);
  }
});

it('a worker asks scrapers for the key, and probes for none', async () => {
  const database = await createTestDatabase();
  const key = random();
  const worker = await startWorker({ databaseUrl: database.url, env: { POSTHORN_METRICS_KEY: key } });
  try {
    const ask = (path: string, authorization?: string) =>
      fetch(worker.url + path, { headers: authorization === undefined ? {} : { authorization } });
    for (const wrong of [undefined, `Bearer ${random()}`, key])
      expect((await ask('/metrics', wrong)).status).toBe(401);
    const scraped = await ask('/metrics', `Bearer ${key}`);
    expect([scraped.status, await scraped.text()]).toEqual([
      200,
      expect.stringContaining('posthorn_claimed'),
    ]);
    expect(scraped.headers.get('cache-control')).toBe('no-store');
    expect((await ask('/health/ready')).status).toBe(200);
  } finally {
    await worker.stop();
    await database.drop();
  }
});
