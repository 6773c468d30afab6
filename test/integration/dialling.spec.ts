/**
 * Every row of ssrf-cases.json, through the API (register, change, test) and through a delivery of a real worker. What counts is
 * not what is said but which sockets are asked for: none to a forbidden address, one for each allowed request, to the address
 * that was judged. Names are answered by a stub; the innermost connect is a recorder (test/support/recorder.ts).
 * Real: api, worker, PostgreSQL, HTTP and TLS on loopback.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createLogger, Metrics } from '@app/observability';
import type { Database } from '@app/persistence';
import { fromPublicId, toPublicId } from '@app/domain';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApi, type Api } from '../../apps/api/src/create-api.js';
import { Worker, type WorkerOverrides } from '../../apps/worker/src/worker.js';
import { startConnectProxy } from '../support/connect-proxy.js';
import { createTestDatabase } from '../support/database.js';
import { openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startRecorder, type Dialled, type Recorder } from '../support/recorder.js';
import { ADMIN_KEY, configFor } from './api-fixture.js';

interface Answer {
  A?: string[];
  AAAA?: string[];
  rcode?: string;
}
interface SsrfCase {
  url: string;
  allowed: boolean;
  why: string;
  category: string;
  whatwgHost: string | null;
  dns?: Answer;
  dnsSequence?: Answer[];
}
const cases = JSON.parse(readFileSync(resolve('../shared/data/ssrf-cases.json'), 'utf8')) as SsrfCase[];

// What only a lookup can tell is registered, and refused when it is dialled.
const isRegistered = ({ allowed, category }: SsrfCase) => allowed || category.startsWith('dns');
const isLong = ({ url }: SsrfCase) => url.length > 2048;
const stored = cases.filter((each) => !isLong(each));
// Few of one subscriber and many subscribers: test events are limited for each.
const ROWS_PER_SUBSCRIBER = 3;
const AT_ONCE = 6;
const PLACEHOLDER = 'https://hooks.example.com/placeholder';
// http is allowed here, so that no row is refused for its scheme alone.
const SETTINGS = {
  POSTHORN_ALLOW_CIDRS: '',
  POSTHORN_ALLOW_HOSTS: '',
  POSTHORN_ALLOW_HTTP: 'true',
  POSTHORN_RATE_LIMIT_KEY: '0',
  POSTHORN_RATE_LIMIT_ADDRESS: '0',
};

let test: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
let api: Api;
let recorder: Recorder;
/** By row: `sub_…` and `ep_…`. */
const endpoints = new Map<SsrfCase, { subscriber: string; id: string }>();

beforeAll(async () => {
  test = await createTestDatabase();
  database = await openDatabase(test.url);
  api = await createApi(configFor(test.url, SETTINGS));
  recorder = await startRecorder();
});
afterAll(async () => {
  await api?.close();
  await recorder?.stop();
  await database?.close();
  await test?.drop();
});

async function call(method: string, path: string, body?: unknown) {
  const answer = await fetch(api.url + path, {
    method,
    headers: {
      authorization: `Bearer ${ADMIN_KEY}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  // oxlint-disable-next-line no-explicit-any
  return { status: answer.status, body: (await answer.json()) as any };
}

/** Some at a time: one after the other they would take a minute. */
async function forEach<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const rest = [...all];
  const next = async () => {
    for (let one = rest.shift(); one !== undefined; one = rest.shift()) await work(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}

/** As it is stored: what WHATWG makes of it, without its fragment and the dot of the root. */
function serialised(raw: string): string {
  const url = new URL(raw);
  url.hash = '';
  url.hostname = url.hostname.replace(/\.$/, '');
  return url.href;
}

/** Where an allowed row goes. */
function expectedDial({ url, dns, dnsSequence }: SsrfCase): Dialled {
  const { protocol, hostname, port } = new URL(serialised(url));
  const answer = dns ?? dnsSequence?.[0];
  const address = answer
    ? [...(answer.A ?? []), ...(answer.AAAA ?? [])][0]
    : hostname.replace(/^\[|\]$/g, '');
  const secure = protocol === 'https:';
  return {
    address,
    port: Number(port) || (secure ? 443 : 80),
    servername: secure ? (answer ? hostname : '') : null,
  };
}

const byText = (dials: readonly Dialled[]) => dials.map((each) => JSON.stringify(each)).toSorted();

/** Answers as the rows say, each sequence in its order; what no row is about is an error of the test. */
function stubNames() {
  const asked: string[] = [];
  const known = new Map<string, Answer[]>();
  for (const { url, dns, dnsSequence } of cases)
    if (dns ?? dnsSequence) known.set(new URL(serialised(url)).hostname, dnsSequence ?? [dns!]);
  const resolver = {
    resolve: async (name: string) => {
      const answers = known.get(name);
      if (!answers) throw new Error(`${name} should not have been looked up`);
      const nth = asked.filter((each) => each === name).length;
      asked.push(name);
      const { A = [], AAAA = [], rcode } = answers[Math.min(nth, answers.length - 1)];
      if (rcode)
        throw Object.assign(new Error(rcode), { code: rcode === 'NXDOMAIN' ? 'ENOTFOUND' : `E${rcode}` });
      return Promise.resolve([...A, ...AAAA]);
    },
  };
  return { resolver, asked };
}

async function startWorker(settings: NodeJS.ProcessEnv, overrides: WorkerOverrides): Promise<Worker> {
  const config = configFor(test.url, { ...SETTINGS, ...settings });
  const logger = createLogger({ level: 'silent', process: 'worker' });
  const worker = new Worker(
    { ...config, DATABASE_URL: test.url },
    'test',
    database,
    new Metrics(),
    logger,
    overrides,
  );
  await worker.start();
  return worker;
}

interface AttemptRow {
  delivery_id: string;
  endpoint_id: string;
  status: string;
  failure: string | null;
  failure_detail: string | null;
  response_body: string | null;
}

/** Waits until so many deliveries have had an attempt; the last of each endpoint, by its id. */
async function attempts(count: number): Promise<Map<string, AttemptRow>> {
  for (const deadline = performance.now() + 20_000; ;) {
    const rows = await database.query<AttemptRow>(
      `SELECT d.id AS delivery_id, d.endpoint_id, a.status, a.failure, a.failure_detail, a.response_body
         FROM attempts a JOIN deliveries d ON d.id = a.delivery_id ORDER BY a.id`,
    );
    const tried = new Set(rows.map((row) => row.delivery_id)).size;
    if (tried >= count) return new Map(rows.map((row) => [row.endpoint_id, row]));
    if (performance.now() > deadline) throw new Error(`only ${tried} of ${count} attempts`);
    await new Promise((next) => setTimeout(next, 20));
  }
}
const attemptOf = (all: Map<string, AttemptRow>, row: SsrfCase) =>
  all.get(fromPublicId('ep', endpoints.get(row)!.id)!)!;

it('has the rows that it is meant to have', () => {
  expect(cases.length).toBeGreaterThan(270);
  expect(cases.filter(isRegistered).length).toBeGreaterThan(50);
});

describe('through the API', () => {
  it('a URL is registered in its serialised form, or refused by its field', async () => {
    const groups = Array.from({ length: Math.ceil(cases.length / ROWS_PER_SUBSCRIBER) }, (_, n) =>
      cases.slice(n * ROWS_PER_SUBSCRIBER, (n + 1) * ROWS_PER_SUBSCRIBER),
    );
    await forEach(groups, async (rows) => {
      // As old rows: what the API refuses today is in the table all the same.
      const old = rows.filter((row) => !isRegistered(row) && !isLong(row));
      const fixture = await registerSubscriber(
        database,
        old.map(({ url }) => url),
      );
      const subscriber = toPublicId('sub', fixture.subscriberId);
      old.forEach((row, at) =>
        endpoints.set(row, { subscriber, id: toPublicId('ep', fixture.endpointIds[at]) }),
      );
      for (const row of rows) {
        const { status, body } = await call('POST', `/v1/subscribers/${subscriber}/endpoints`, {
          url: row.url,
        });
        if (isRegistered(row)) {
          expect([row.url, row.why, status, body.url]).toEqual([row.url, row.why, 201, serialised(row.url)]);
          endpoints.set(row, { subscriber, id: body.id as string });
        } else expectRefused(row, status, body);
      }
    });
  });

  it('is changed to, or is not, by the same rules', async () => {
    await Promise.all(
      Array.from({ length: AT_ONCE }, async (_, lane) => {
        const { body: subscriber } = await call('POST', '/v1/subscribers', { name: 'changes' });
        const path = `/v1/subscribers/${subscriber.id}/endpoints`;
        const { body: endpoint } = await call('POST', path, { url: PLACEHOLDER });
        for (const row of cases.filter((_row, at) => at % AT_ONCE === lane)) {
          const { status, body } = await call('PATCH', `${path}/${endpoint.id}`, { url: row.url });
          if (isRegistered(row))
            expect([row.url, status, body.url]).toEqual([row.url, 200, serialised(row.url)]);
          else expectRefused(row, status, body);
        }
      }),
    );
  });

  it('an old row with it is sent no test event', async () => {
    await forEach(
      stored.filter((row) => !isRegistered(row)),
      async (row) => {
        const { subscriber, id } = endpoints.get(row)!;
        const { status, body } = await call('POST', `/v1/subscribers/${subscriber}/endpoints/${id}/test`, {});
        expect([row.url, status, body.code]).toEqual([row.url, 400, 'invalid_endpoint_url']);
      },
    );
  });
});

function expectRefused(
  row: SsrfCase,
  status: number,
  body: { code: string; errors: { pointer: string }[] },
): void {
  expect([row.url, row.why, status]).toEqual([row.url, row.why, 400]);
  expect(body.code).toBe(isLong(row) ? 'invalid_request' : 'invalid_endpoint_url');
  expect(body.errors[0].pointer).toBe('/url');
}

describe('through a delivery', () => {
  it('no socket is asked for to a forbidden address, and one for each allowed row, to what was judged', async () => {
    const names = stubNames();
    const worker = await startWorker({}, { resolver: names.resolver, sockets: recorder.sockets });
    try {
      const subscribers = [...new Set([...endpoints.values()].map(({ subscriber }) => subscriber))];
      const events = subscribers.map((subscriber) => ({ subscriber, type: 'thing.happened', data: {} }));
      expect((await call('POST', '/v1/events/batch', { events })).status).toBe(202);
      const first = await attempts(stored.length);

      // The rebinding rows are fine at their first answer.
      const dialledFirst = stored.filter((row) => row.allowed || row.dnsSequence);
      expect(byText(recorder.dialled)).toEqual(byText(dialledFirst.map(expectedDial)));
      expect(recorder.received).toHaveLength(dialledFirst.length);
      for (const row of dialledFirst)
        expect([row.url, attemptOf(first, row).status]).toEqual([row.url, 'delivered']);
      for (const row of stored.filter((each) => !dialledFirst.includes(each))) {
        const { failure, failure_detail: detail, response_body: body } = attemptOf(first, row);
        expect([row.url, failure, body]).toEqual([row.url, failureOf(row), null]);
        // Which address it was is not told.
        for (const address of [...(row.dns?.A ?? []), ...(row.dns?.AAAA ?? [])])
          expect(detail?.split(/[^0-9a-f.:]+/)).not.toContain(address);
      }
      // Host is the URL's, whatever was dialled.
      const hosts = recorder.received.map(({ host, path }) => host + path);
      expect(hosts.toSorted()).toEqual(
        dialledFirst.map(({ url }) => serialised(url).replace(/^https?:\/\//, '')).toSorted(),
      );

      recorder.forget();
      const registered = stored.filter(isRegistered);
      await forEach(registered, async (row) => {
        const { subscriber, id } = endpoints.get(row)!;
        const { status } = await call('POST', `/v1/subscribers/${subscriber}/endpoints/${id}/test`, {});
        expect([row.url, status]).toEqual([row.url, 202]);
      });
      const second = await attempts(stored.length + registered.length);
      expect(byText(recorder.dialled)).toEqual(byText(stored.filter((row) => row.allowed).map(expectedDial)));
      for (const row of stored.filter((each) => each.dnsSequence))
        expect([row.url, attemptOf(second, row).failure]).toEqual([row.url, 'blocked_address']);
      // One lookup for each dial; none for a literal or a refused name, or stubNames would have thrown. Only what failed to resolve
      // is asked for once more, when it is tried again.
      for (const row of dialledFirst.filter(({ dns, dnsSequence }) => dns ?? dnsSequence)) {
        const { hostname } = new URL(serialised(row.url));
        const rows = dialledFirst.filter(({ url }) => new URL(serialised(url)).hostname === hostname);
        expect(names.asked.filter((each) => each === hostname)).toHaveLength(2 * rows.length);
      }
    } finally {
      await worker.stop();
    }
  }, 60_000);

  it.each([
    ['forbidden', '', 0],
    ['allowed', '127.0.0.0/8', 2],
  ])('with the real connect, loopback %s', async (_what, networks, connections) => {
    recorder.forget();
    const { body: subscriber } = await call('POST', '/v1/subscribers', { name: 'real' });
    const ids: string[] = [];
    for (const url of [`http://127.0.0.1:${recorder.port}/`, `http://inner.example.com:${recorder.port}/`]) {
      const made = await call('POST', `/v1/subscribers/${subscriber.id}/endpoints`, { url: PLACEHOLDER });
      const id = fromPublicId('ep', made.body.id as string)!;
      await database.query('UPDATE endpoints SET url = $1 WHERE id = $2', [url, id]);
      ids.push(id);
    }
    const [{ n }] = await database.query<{ n: number }>(
      'SELECT count(DISTINCT delivery_id)::int AS n FROM attempts',
    );
    const resolver = { resolve: () => Promise.resolve(['127.0.0.1']) };
    const worker = await startWorker({ POSTHORN_ALLOW_CIDRS: networks }, { resolver });
    try {
      await call('POST', '/v1/events', { subscriber: subscriber.id, type: 'thing.happened', data: {} });
      const all = await attempts(n + 2);
      expect(ids.map((id) => all.get(id)!.failure)).toEqual(
        networks === '' ? ['blocked_address', 'blocked_address'] : [null, null],
      );
      expect(recorder.connections()).toBe(connections);
    } finally {
      await worker.stop();
    }
  });
});

it('through an egress proxy, what it refuses is charged to no receiver', async () => {
  recorder.forget();
  const proxy = await startConnectProxy((target) =>
    target.startsWith('8.8.8.8:')
      ? { says: 'HTTP/1.1 403 Forbidden\r\n\r\n10.0.0.1' }
      : { through: recorder.port },
  );
  const { body: subscriber } = await call('POST', '/v1/subscribers', { name: 'proxied' });
  const ids: string[] = [];
  for (const url of ['http://9.9.9.9:8080/fine', 'http://8.8.8.8/refused', 'http://inner.example.com/']) {
    const made = await call('POST', `/v1/subscribers/${subscriber.id}/endpoints`, { url });
    ids.push(fromPublicId('ep', made.body.id as string)!);
  }
  const [{ n }] = await database.query<{ n: number }>(
    'SELECT count(DISTINCT delivery_id)::int AS n FROM attempts',
  );
  const settings = { POSTHORN_EGRESS_PROXY: `http://posthorn:swordfish@127.0.0.1:${proxy.port}` };
  const worker = await startWorker(settings, { resolver: { resolve: () => Promise.resolve(['10.0.0.1']) } });
  try {
    await call('POST', '/v1/events', { subscriber: subscriber.id, type: 'thing.happened', data: {} });
    const all = await attempts(n + 3);
    expect(ids.map((id) => all.get(id)!.failure)).toEqual([null, 'proxy_refused', 'blocked_address']);
    expect(all.get(ids[1])!.response_body).toBeNull();
    expect(proxy.asked.map(({ target }) => target).toSorted()).toEqual(['8.8.8.8:80', '9.9.9.9:8080']);
    expect(recorder.received.map(({ host, path }) => host + path)).toEqual(['9.9.9.9:8080/fine']);
    expect(recorder.received[0].headers).not.toHaveProperty('proxy-authorization');
  } finally {
    await worker.stop();
    await proxy.stop();
  }
});

/** How an attempt is recorded that was never made. */
function failureOf({ category, dns, url }: SsrfCase): string {
  if (dns?.rcode === 'NXDOMAIN' && category === 'dns') return 'dns_nxdomain';
  if (dns?.rcode === 'SERVFAIL') return 'dns_servfail';
  if (dns && [...(dns.A ?? []), ...(dns.AAAA ?? [])].length === 0 && category === 'dns')
    return 'dns_nxdomain';
  if (category === 'port' || category === 'port-policy') return 'blocked_port';
  if (['scheme', 'unparseable', 'parser'].includes(category)) return 'config_invalid';
  if (/@/.test(url)) return 'config_invalid';
  return 'blocked_address';
}
