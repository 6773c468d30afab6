// Real: a PostgreSQL and pg; for what a statement leaves behind a Node of its own, whose collector is told when to look.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import pg, { type ClientConfig } from 'pg';
import { expect, inject, it } from 'vitest';
import { Client } from '../../libs/persistence/src/client.js';
import { builtFile } from '../support/child.js';

const url = (): string => inject('appUrl');

// One statement at a time, each answered and forgotten before the young generation is collected, which then holds nothing of it.
const PROGRAM = `
  const [module, connectionString] = process.argv.slice(1);
  const { Client } = await import(module).then((it) => it.default ?? it);
  const client = new Client({ connectionString, query_timeout: 10_000, pipeline: true });
  await client.connect();
  const { getHeapSpaceStatistics } = await import('node:v8');
  const old = () => getHeapSpaceStatistics().find((each) => each.space_name === 'old_space').space_used_size;
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  let before;
  for (let n = 0; n < 150; n++) {
    if (n === 50) globalThis.gc();
    if (n === 50) before = old();
    await client.query({ name: 'x', text: "SELECT repeat('x', 10000 + $1::int) AS x", values: [n] });
    for (let i = 0; i < 3; i++) await turn().then(() => globalThis.gc({ type: 'minor' }));
  }
  console.log((old() - before) / 100);
  await client.end();
`;

async function keptBytes(module: string): Promise<number> {
  const args = ['--expose-gc', '--input-type=module', '--eval', PROGRAM, module, url()];
  return Number((await promisify(execFile)(process.execPath, args)).stdout);
}

it('a statement and its answer are gone with the young generation, with ours and not with pg’s', async () => {
  expect(await keptBytes('pg')).toBeGreaterThan(10_000);
  expect(await keptBytes(`file://${builtFile('libs/persistence/src/client.js')}`)).toBeLessThan(1_500);
});

it.each([true, false])(
  'who waits too long is told, and so are those behind (pipeline: %s)',
  async (pipeline) => {
    const client = await connected({ query_timeout: 200, pipeline });
    const [slow, behind] = [client.query('SELECT pg_sleep(20)'), client.query('SELECT 1')];
    const ended = new Promise((resolve) => client.once('end', resolve));
    await expect(slow).rejects.toThrow('Query read timeout');
    await expect(behind).rejects.toThrow(/^(Query read timeout|Connection terminated)/);
    await ended;
  },
);

it('answers a promise or a callback, whichever way pg takes one, and an error says who asked', async () => {
  const client = await connected({ query_timeout: 5_000 });
  try {
    const row = { x: 'a' };
    expect((await client.query('SELECT $1::text AS x', ['a'])).rows).toEqual([row]);
    expect((await client.query({ text: 'SELECT $1::text AS x', values: ['a'] })).rows).toEqual([row]);
    const answered = (send: (done: (error: Error | null, result: pg.QueryResult) => void) => void) =>
      new Promise((resolve, reject) => {
        send((error, result) => (error ? reject(error) : resolve(result.rows)));
      });
    expect(await answered((done) => client.query('SELECT $1::text AS x', ['a'], done))).toEqual([row]);
    expect(await answered((done) => client.query("SELECT 'a' AS x", done))).toEqual([row]);
    await expect(answered((done) => client.query('SELECT 1/0', done))).rejects.toThrow('division by zero');
    const asked = async (): Promise<unknown> => (await client.query('SELECT 1/0')).rows;
    await expect(asked()).rejects.toMatchObject({ code: '22012', stack: expect.stringContaining('asked') });
  } finally {
    await client.end();
  }
});

it('a statement that pg refuses to send costs its asker, and not the connection later on', async () => {
  const client = await connected({ query_timeout: 5_000 });
  const waiting = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = waiting();
  await expect(client.query(null as never)).rejects.toThrow(TypeError);
  expect(waiting()).toBe(before);
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await client.end();
});

async function connected(config: ClientConfig & { pipeline?: boolean }): Promise<pg.Client> {
  const client = new Client({ connectionString: url(), ...config });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
