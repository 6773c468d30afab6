/**
 * Every row of header-cases.json: saved through the API or refused there, by its pointer and without its value; what was saved
 * arrives at a receiver exactly. Real: api, worker, PostgreSQL, HTTP on loopback.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createLogger, Metrics } from '@app/observability';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Worker } from '../../apps/worker/src/worker.js';
import { openDatabase } from '../support/fixtures.js';
import { startRecorder, type Recorder } from '../support/recorder.js';
import { configFor, startApi, type ApiFixture } from './api-fixture.js';

interface HeaderCase {
  name: string;
  value: string;
  allowed: boolean;
  why: string;
}
const cases = JSON.parse(readFileSync(resolve('../shared/data/header-cases.json'), 'utf8')) as HeaderCase[];
const SECRET = 'swordfish';

let fixture: ApiFixture;
let database: Database;
let recorder: Recorder;
let worker: Worker;
let path: string;

beforeAll(async () => {
  fixture = await startApi();
  database = await openDatabase(fixture.databaseUrl);
  recorder = await startRecorder();
  const config = { ...configFor(fixture.databaseUrl), DATABASE_URL: fixture.databaseUrl };
  worker = new Worker(
    config,
    'test',
    database,
    new Metrics(),
    createLogger({ level: 'silent', process: 'worker' }),
  );
  await worker.start();
  await fixture.call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' });
  path = '/v1/subscribers/acme/endpoints';
});
afterAll(async () => {
  await worker?.stop();
  await recorder?.stop();
  await database?.close();
  await fixture?.stop();
});

it.each(cases.map((row, n) => [row.name, row.value, row.why, row.allowed, n] as const))(
  '%j: %j (%s) allowed: %s',
  async (name, value, _why, allowed, n) => {
    const url = `http://127.0.0.1:${recorder.port}/${n}`;
    const headers = JSON.parse(`{${JSON.stringify(name)}:${JSON.stringify(value)}}`) as Record<
      string,
      string
    >;
    const { body: bare } = await fixture.call('POST', path, { url });
    for (const { status, body, text } of [
      await fixture.call('POST', path, { url: `${url}/created`, headers }),
      await fixture.call('PATCH', `${path}/${bare.id}`, { url: `${url}/changed`, headers }),
    ]) {
      if (!allowed) {
        expect([status, body.code]).toEqual([400, 'invalid_custom_header']);
        expect(body.errors[0].pointer).toBe(`/headers/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
        continue;
      }
      expect([200, 201]).toContain(status);
      if (value.length > 3) expect(text).not.toContain(JSON.stringify(value));
      expect((await fixture.call('POST', `${path}/${body.id}/test`, {})).status).toBe(202);
    }
  },
);

it('a value that is refused is not repeated', async () => {
  const headers = { 'x-a': `${SECRET}\n` };
  const { status, text } = await fixture.call('POST', path, { url: 'https://hooks.example.com', headers });
  expect(status).toBe(400);
  expect(text).not.toContain(SECRET);
});

it('what was saved arrives, exactly', async () => {
  const saved = cases.flatMap((row, n) => (row.allowed ? [{ ...row, n }] : []));
  expect(saved.length).toBeGreaterThan(5);
  for (const deadline = performance.now() + 10_000; recorder.received.length < 2 * saved.length;) {
    if (performance.now() > deadline) throw new Error(`only ${recorder.received.length} arrived`);
    await new Promise((next) => setTimeout(next, 10));
  }
  expect(recorder.received).toHaveLength(2 * saved.length);
  for (const { name, value, n } of saved)
    for (const how of ['created', 'changed']) {
      const request = recorder.received.find((each) => each.path === `/${n}/${how}`);
      expect([name, request?.headers[name.toLowerCase()]]).toEqual([name, value]);
      expect(request?.rawNames.filter((each) => each.toLowerCase() === name.toLowerCase())).toHaveLength(1);
    }
});
