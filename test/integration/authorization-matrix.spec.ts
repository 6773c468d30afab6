// Real: the api with its HTTP server, PostgreSQL with our migrations. Every route of the contract × who asks × whose it is.
// A row of authorization-matrix.rows.ts says who may; the tests are made of the rows. In each test all requests are made,
// 16 at a time, and those that were answered wrongly are listed by name: route × who × what.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { SCOPES, type ApiScope } from '@app/contracts';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { RouteTable } from '../../apps/api/src/edge/route-table.js';
import { openTables, type Tables } from '../support/tables.js';
import { startApi, type ApiFixture, type Reply } from './api-fixture.js';
import { MATRIX, PUBLIC, type IdElsewhere, type MatrixRow } from './authorization-matrix.rows.js';
import {
  makeWorld,
  nobodys,
  noWorld,
  PREFIXES,
  type Named,
  type World,
} from './authorization-matrix.world.js';

const AT_A_TIME = 16;
const agent = new http.Agent({ keepAlive: true, maxSockets: AT_A_TIME });
const document = JSON.parse(readFileSync('openapi.json', 'utf8')) as Document;
interface Document {
  paths: Record<string, Record<string, { parameters?: { name: string; in: string }[] }>>;
}

/** A request of a test, and what is wrong with its answer. */
interface Case {
  name: string;
  ask: Ask;
  /** Undefined when the answer is right. */
  judge(reply: Reply): string | undefined;
}
interface Ask {
  method: string;
  path: string;
  body?: object;
  key?: string;
  headers?: Record<string, string>;
}

let fixture: ApiFixture;
/** As superuser: sees what the application's roles do not. */
let tables: Tables;
let own: World;
let other: World;
/** Of a subscriber that was deleted. */
let gone: World;
/** Keys with one scope each. */
const staffKeys = new Map<ApiScope, string>();
const ownKeys = new Map<ApiScope, string>();
const otherKeys = new Map<ApiScope, string>();
const MODES = ['read', 'manage'] as const;
const ownTokens = new Map<string, string>();

beforeAll(async () => {
  fixture = await startApi({
    POSTHORN_RATE_LIMIT_KEY: '0',
    POSTHORN_RATE_LIMIT_ADDRESS: '0',
    POSTHORN_RATE_LIMIT_CUSTOMER: '0',
  });
  const url = new URL(inject('adminUrl'));
  url.pathname = new URL(fixture.databaseUrl).pathname;
  tables = openTables(url.href);
  await fixture.call('POST', '/v1/event-types', { name: 'thing.happened' });
  [own, other, gone] = await Promise.all([makeWorld(fixture), makeWorld(fixture), makeWorld(fixture)]);
  for (const scope of SCOPES) {
    staffKeys.set(scope, (await fixture.key([scope])).key);
    ownKeys.set(scope, (await fixture.key([scope], own.subscriber)).key);
    otherKeys.set(scope, (await fixture.key([scope], other.subscriber)).key);
  }
  for (const mode of MODES) ownTokens.set(mode, await newToken(own, mode));
  await fixture.call('DELETE', `/v1/subscribers/${gone.subscriber}`);
});
afterAll(async () => {
  agent.destroy();
  await tables?.close();
  await fixture?.stop();
});

describe('the table', () => {
  const keyed = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );

  it('has a row for every route of the contract, and no other', () => {
    expect([...Object.keys(MATRIX), ...Object.keys(PUBLIC)].sort()).toEqual(
      expect.arrayContaining([...keyed].sort()),
    );
    expect(keyed).toEqual(expect.arrayContaining(Object.keys(MATRIX)));
  });

  it('is about the contract that is served', async () => {
    const { body } = await fixture.call('GET', '/openapi.json', undefined, { key: '' });
    expect(Object.keys(body.paths)).toEqual(Object.keys(document.paths));
  });

  it('has everything that the server really routes', () => {
    const registered = fixture.api.app
      .get(RouteTable)
      .all()
      // Nest's own documentation pages, and HEAD, which Fastify adds to every GET.
      .filter((route) => !/^(HEAD|GET) \/docs\b/.test(route) && !route.startsWith('HEAD '))
      .map((route) => route.replace(/:(\w+)/g, '{$1}'));
    expect([...new Set(registered)].sort()).toEqual([...keyed, 'GET /openapi.json'].sort());
  });
});

it('that nothing happened is seen to be untrue when one row is written', async () => {
  for (const statement of [
    `UPDATE subscribers SET name = name WHERE external_id = '${own.externalId}'`,
    `UPDATE api_keys SET name = name || '.' WHERE name LIKE '%-key'`,
    `INSERT INTO pgboss.job (name, data) VALUES ('deliver', '{}')`,
    `DELETE FROM pgboss.job WHERE data IS NOT NULL AND group_id IS NULL`,
  ]) {
    const before = await digests();
    await tables.rows(statement);
    expect(await digests(), statement).not.toEqual(before);
  }
});

describe.each(Object.entries(PUBLIC))('%s is public: %s', (route) => {
  it('answers without a key, and tells nobody apart', async () => {
    const [method, path] = route.split(' ') as [string, string];
    const reply = await fixture.call(method, path, undefined, { key: '' });
    expect(reply.status).toBe(200);
    expect(tracesIn(reply, [own, other, gone], '')).toEqual([]);
  });
});

describe.each(Object.entries(MATRIX))('%s', (route, row) => {
  const [method, template] = route.split(' ') as [string, string];
  const named = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const parameters = document.paths[template]?.[method.toLowerCase()]?.parameters ?? [];
  const takes = (name: string) => parameters.some((parameter) => parameter.name === name);

  /** Its request about this world; `instead` has other ids for the path. */
  const about = (world: World, instead: Partial<Record<string, string>> = {}): Ask => ({
    method,
    path: fill(template, { ...world, ...instead }),
    body: row.body?.(world),
  });
  const mayBound = row.staffOnly === undefined;
  const modes = MODES.filter((mode) => row.customer === mode || row.customer === 'read');
  const refusedModes = MODES.filter((mode) => !modes.includes(mode));
  /** A key of staff, or one that is bound to a subscriber, with this scope and what the row needs besides. */
  const keyOf = async (scope: ApiScope, bound?: string): Promise<string> => {
    const known = bound === undefined ? staffKeys.get(scope) : bound === own.subscriber && ownKeys.get(scope);
    if (known && row.alsoNeeds === undefined) return known;
    return (await fixture.key([scope, ...(row.alsoNeeds ?? [])], bound)).key;
  };

  it('without a key, or with one that is none: 401, and nothing happens', async () => {
    const keys = ['', 'x', 'ph_live_x', ownKeys.get(row.scope)!.slice(0, -1)];
    await allRight(
      keys.map((key) => ({
        name: `key "${key}"`,
        ask: { ...about(own), key },
        judge: expects(401, 'unauthenticated'),
      })),
    );
  });

  it('with every other scope: 403, and nothing happens', async () => {
    const others = SCOPES.filter((scope) => scope !== row.scope && scope !== 'admin');
    await allRight(
      others.flatMap((scope) =>
        [
          { who: 'staff', key: staffKeys.get(scope) },
          { who: 'bound', key: ownKeys.get(scope) },
        ].map(({ who, key }) => ({
          name: `${scope} (${who})`,
          ask: { ...about(own), key },
          judge: expects(403, 'forbidden'),
        })),
      ),
    );
  });

  if (!mayBound)
    it(`with its scope, but bound to a subscriber: 403 (${row.staffOnly})`, async () => {
      await allRight(
        [...new Set([row.scope, 'admin' as const])].map((scope) => ({
          name: `${scope} (bound)`,
          ask: { ...about(own), key: ownKeys.get(scope) },
          judge: expects(403, 'forbidden'),
        })),
      );
    });

  if (refusedModes.length > 0)
    it(`with a customer's token to ${refusedModes.join(' or ')}: 403, and nothing happens`, async () => {
      await allRight(
        refusedModes.map((mode) => ({
          name: `token to ${mode}`,
          ask: { ...about(own), key: ownTokens.get(mode) },
          judge: expects(403, 'forbidden'),
        })),
      );
    });

  it(`by whoever may, on its own: ${row.success}, and the audit log knows`, async () => {
    const scopes = [...new Set([row.scope, 'admin' as const])];
    const callers = [
      ...scopes.map((scope) => ({ name: `${scope} (staff)`, key: () => keyOf(scope) })),
      ...(mayBound ? scopes : []).map((scope) => ({
        name: `${scope} (bound)`,
        key: ({ subscriber }: World) => keyOf(scope, subscriber),
      })),
      ...modes.map((mode) => ({ name: `token to ${mode}`, key: (world: World) => newToken(world, mode) })),
    ];
    await inTurns(callers, async ({ name, key }) => {
      const world = method === 'GET' ? own : await makeWorld(fixture);
      const requestId = `${route}.${name}`.replace(/[^\w.]/g, '-');
      const reply = await send({
        ...about(world),
        key: await key(world),
        headers: { 'x-request-id': requestId },
      });
      expect({ name, status: reply.status, text: reply.status === row.success ? '' : reply.text }).toEqual({
        name,
        status: row.success,
        text: '',
      });
      const audited = await tables.rows('SELECT 1 FROM audit_log WHERE request_id = $1', [requestId]);
      const isRead = method === 'GET' && row.reveals === undefined;
      const wanted = isRead || row.unaudited !== undefined ? 0 : 1;
      expect({ name, audited: audited.length }).toEqual({ name, audited: wanted });
      if (!name.endsWith('(staff)'))
        expect({ name, traces: tracesIn(reply, [other, gone], '') }).toEqual({ name, traces: [] });
    });
  });

  if (named.some((name) => name in PREFIXES))
    it('of somebody else, deleted, of nobody or mismatched: 404, the same answer, and nothing happens', async () => {
      const callers: [string, string][] = [['staff', await keyOf(row.scope)]];
      if (mayBound) callers.push(['bound', await keyOf(row.scope, own.subscriber)]);
      for (const mode of modes) callers.push([`token to ${mode}`, ownTokens.get(mode)!]);
      for (const [who, key] of callers)
        for (const [group, paths] of Object.entries(strangers(named, who !== 'staff'))) {
          const cases = paths.map(([what, ids]) => ({
            name: `${who} × ${group} ${what}`,
            ask: { ...about(own, ids), key },
          }));
          expect(await statusOfAll(cases)).toBe(404);
        }
    });

  if (row.ids)
    it('an id of somebody else in a filter or a body: as one that nobody has', async () => {
      for (const at of row.ids!) await elsewhere(at);
    });

  async function elsewhere({ kind, at }: IdElsewhere): Promise<void> {
    const ask = (id: string): Ask => ({
      ...(typeof at === 'string'
        ? { ...about(own), path: `${about(own).path}?${at}=${id}` }
        : { ...about(own), body: at(id, own) }),
      key: ownKeys.get(row.scope),
    });
    const ids: [string, string][] = [
      // Ids of events are one space for everybody. One that is taken says no more than that, whoever has it.
      kind === 'event' ? ['own, taken', own.event] : ['of nobody', nobodys(kind)],
      ["other's", other[kind]],
      ["deleted subscriber's", gone[kind]],
    ];
    if (kind === 'subscriber') ids.push(["other's external id", other.externalId]);
    await statusOfAll(ids.map(([what, id]) => ({ name: `${kind} ${what}`, ask: ask(id) })));
  }

  if (takes('cursor') && mayBound)
    it('with a forged cursor: own rows only, or 400', async () => {
      const cursors = await forgedCursors(template, row);
      const bound = about(own);
      await allRight(
        cursors.map(([what, cursor, honest]) => ({
          name: `cursor ${what}`,
          ask: {
            ...bound,
            path: `${bound.path}?limit=50&cursor=${encodeURIComponent(cursor)}`,
            key: ownKeys.get(row.scope),
          },
          judge: (reply) =>
            (honest && reply.status !== 200) || ![200, 400].includes(reply.status)
              ? `${reply.status} ${reply.text}`
              : reply.status === 400 && reply.body.code !== 'invalid_cursor'
                ? reply.text
                : undefined,
        })),
      );
    });

  if (takes('Idempotency-Key'))
    it("with somebody else's Idempotency-Key: never their answer", async () => {
      const [mine, theirs] = await Promise.all([makeWorld(fixture), makeWorld(fixture)]);
      const keyOfNew = async (world: World) =>
        (await fixture.key([row.scope, ...(row.alsoNeeds ?? [])], mayBound ? world.subscriber : undefined))
          .key;
      const headers = { 'idempotency-key': `of-${theirs.subscriber}` };
      const first = await send({ ...about(theirs), key: await keyOfNew(theirs), headers });
      expect(first.status, first.text).toBe(row.success);

      const key = await keyOfNew(mine);
      const copied = await send({ ...about(theirs), key, headers });
      expect(copied.headers.get('idempotency-replayed')).toBeNull();
      if (!mayBound) return expect(copied.text).not.toBe(first.text);
      expect(tracesIn(copied, [theirs], JSON.stringify(about(theirs)))).toEqual([]);
      if (named.length > 0) expect(copied.status).toBe(404);

      // What was refused is forgotten: the same key is free for one's own request.
      if (copied.status === row.success) return;
      const ownRequest = await send({ ...about(mine), key, headers });
      expect(ownRequest.headers.get('idempotency-replayed')).toBeNull();
      expect(ownRequest.status, ownRequest.text).toBe(row.success);
      expect(tracesIn(ownRequest, [theirs], '')).toEqual([]);
    });

  it('by another spelling of its path, by HEAD, OPTIONS or PUT: opens nothing', async () => {
    const isolated = mayBound && named.some((name) => name in PREFIXES);
    const { path } = about(other);
    const requests = [
      ...spellings(path).map((spelt) => ({ method, path: spelt, body: row.body?.(other) })),
      ...['HEAD', 'OPTIONS', 'PUT'].map((asked) => ({ method: asked, path })),
    ];
    const before = await digests();
    const opened: string[] = [];
    await inTurns(requests, async (request) => {
      for (const key of isolated ? ['', ownKeys.get(row.scope)!, ownTokens.get('manage')!] : ['']) {
        const { status, text } = await sendRaw({ ...request, key });
        const open =
          status < 400 || other.traces.some((trace) => text.includes(trace) && !path.includes(trace));
        if (open)
          opened.push(`${request.method} ${request.path} ${key.slice(0, 4) || 'no key'}: ${status} ${text}`);
      }
    });
    expect(opened).toEqual([]);
    expect(await digests()).toEqual(before);
  });
});

/** The text of an access token for a customer. */
async function newToken({ subscriber }: World, mode: string): Promise<string> {
  const made = await fixture.call('POST', `/v1/subscribers/${subscriber}/access-tokens`, { mode });
  return made.body.token;
}

/** Ids of a path that are not the caller's, by which of them is wrong: all of one group must be answered alike. */
function strangers(named: string[], bound: boolean): Record<string, [string, Record<string, string>][]> {
  const nobody = noWorld();
  const child = named.find((name) => name !== 'subscriber' && name in PREFIXES) as Named | undefined;
  const groups: Record<string, [string, Record<string, string>][]> = {};
  if (named.includes('subscriber')) {
    const all = (world: Pick<World, Named>) => ({ ...world }) as Record<string, string>;
    groups.subscriber = [
      ['of nobody', all(nobody)],
      ['of no form', { ...all(nobody), subscriber: 'sub_x' }],
      ['deleted', all(gone)],
      ["deleted's external id", { ...all(gone), subscriber: gone.externalId }],
    ];
    if (bound)
      groups.subscriber.push(
        ["other's", all(other)],
        ["other's external id", { ...all(other), subscriber: other.externalId }],
        ["other's, with one's own below", { ...all(own), subscriber: other.subscriber }],
      );
  }
  if (child) {
    const below: Record<string, string> = named.includes('subscriber') ? { subscriber: own.subscriber } : {};
    groups[child] = [
      ['of nobody', { ...below, [child]: nobody[child] }],
      ['of no form', { ...below, [child]: `${PREFIXES[child]}_x` }],
      ['of another kind', { ...below, [child]: own.subscriber }],
    ];
    // Staff see the history of everybody; below a subscriber, a thing of another one is a mismatch for them too.
    if (bound || named.includes('subscriber'))
      groups[child].push(
        ["other's", { ...below, [child]: other[child] }],
        ["deleted subscriber's", { ...below, [child]: gone[child] }],
      );
    if (child === 'endpoint') groups[child].push(['deleted', { ...below, endpoint: own.deletedEndpoint }]);
    if (named.includes('subscriber') && !bound)
      groups[child].push(["own under other's", { subscriber: other.subscriber, [child]: own[child] }]);
  }
  return groups;
}

/** Cursors that this list did not give this caller; the honest one must still work. */
async function forgedCursors(template: string, row: MatrixRow): Promise<[string, string, boolean?][]> {
  const cursorOf = async (path: string, key: string | undefined): Promise<string | null> =>
    (await send({ method: 'GET', path: `${path}?limit=1`, key })).body?.nextCursor;
  const pack = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const found: [string, string | null, boolean?][] = [
    ['of its own', await cursorOf(fill(template, own), ownKeys.get(row.scope)), true],
    ["of other's list", await cursorOf(fill(template, other), otherKeys.get(row.scope))],
    ["of staff's list", await cursorOf(fill(template, other), staffKeys.get(row.scope))],
    ['of deliveries', await cursorOf('/v1/deliveries', ownKeys.get('deliveries:read'))],
    ['of event types', await cursorOf('/v1/event-types', ownKeys.get('endpoints:read'))],
    ['of nothing', 'x'],
    ['of another version', pack({ v: 2, after: 'x' })],
    ['with a quote', pack({ v: 1, after: "' OR true --" })],
    ['with an object', pack({ v: 1, after: { $ne: null } })],
    ['with an id of the end', pack({ v: 1, after: 'ffffffff-ffff-7fff-bfff-ffffffffffff' })],
    ['too long', 'x'.repeat(1000)],
  ];
  return found.filter((each): each is [string, string, boolean?] => typeof each[1] === 'string');
}

/** Other ways to write a path that a router or a proxy might take for the same. */
function spellings(path: string): string[] {
  const parts = path.split('/');
  const last = parts.at(-1)!;
  const upTo = parts.slice(0, -1).join('/');
  return [
    `${path}/`,
    `/${path}`,
    path.replace('/v1/', '/v1//'),
    path.replace('/v1/', '/V1/'),
    path.replace('/v1/', '/v1/./'),
    path.replace('/v1/', '/docs/../v1/'),
    path.replace('/v1/', '/docs/%2e%2e/v1/'),
    path.replace('/v1/', '/v1%2f'),
    path.replace('/v1/', '/%761/'),
    path.replace('/v1/', '/v1;x=1/'),
    path.replace('/v1/', '/v1\\'),
    `${upTo}/%${last.charCodeAt(0).toString(16)}${last.slice(1)}`,
    `${upTo}/${last.toUpperCase()}`,
    `${path};x=1`,
    `${path}%00`,
    `${path}%20`,
    `${path}.json`,
    `${path}?key=${encodeURIComponent(staffKeys.get('admin')!)}&access_token=${staffKeys.get('admin')}`,
  ];
}

function fill(template: string, ids: object): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => (ids as Record<string, string>)[name]);
}

const expects =
  (status: number, code: string) =>
  (reply: Reply): string | undefined =>
    reply.status === status && reply.body?.code === code ? undefined : `${reply.status} ${reply.text}`;

/** Makes the requests, and lists those that were answered wrongly or told of somebody else. None may change anything. */
async function allRight(cases: Case[]): Promise<void> {
  const before = await digests();
  const wrong: string[] = [];
  await inTurns(cases, async ({ name, ask, judge }) => {
    const reply = await send(ask);
    const told = judge(reply) ?? tracesIn(reply, [other, gone], JSON.stringify(ask)).at(0);
    if (told !== undefined) wrong.push(`${name}: ${told}`);
  });
  expect(wrong).toEqual([]);
  expect(await digests()).toEqual(before);
}

/** All must be answered as the first is: status, headers and body, apart from what names the request itself. */
async function statusOfAll(cases: Omit<Case, 'judge'>[]): Promise<number> {
  const before = await digests();
  const faces = new Map<string, Face>();
  await inTurns(cases, async ({ name, ask }) => {
    const reply = await send(ask);
    faces.set(name, faceOf(reply, tracesIn(reply, [other, gone], JSON.stringify(ask))));
  });
  const first = faces.get(cases[0].name)!;
  for (const { name } of cases) expect({ name, ...faces.get(name) }).toEqual({ name, ...first, traces: [] });
  // A list that is filtered by nobody's id is empty, a dry run counts nothing: these are answered, and logged.
  if (first.status >= 400) expect(await digests()).toEqual(before);
  return first.status;
}

// Differ from answer to answer by their nature.
const PER_REQUEST = /^(date|content-length|x-request-id|.*ratelimit.*)$/;

/** What somebody could tell two refusals apart by. */
interface Face {
  status: number;
  headers: Record<string, string>;
  body: object;
  traces: string[];
}

function faceOf({ status, headers, body }: Reply, traces: string[]): Face {
  const constant = [...headers].map(([name, value]) => [name, PER_REQUEST.test(name) ? '…' : value]);
  const { instance: _, requestId: __, ...rest } = body as Record<string, unknown>;
  return { status, headers: Object.fromEntries(constant) as Face['headers'], body: rest, traces };
}

/** What tells of these worlds in an answer, and was not in the request. */
function tracesIn(reply: Reply, worlds: World[], asked: string): string[] {
  const said = reply.text + JSON.stringify([...reply.headers]);
  return worlds.flatMap(({ traces }) =>
    traces.filter((trace) => said.includes(trace) && !asked.includes(trace)),
  );
}

function send({ method, path, body, key, headers }: Ask): Promise<Reply> {
  return fixture.call(method, path, body, { key, headers });
}

/** The path as it is: fetch would tidy it up. */
function sendRaw({ method, path, body, key }: Ask): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(key ? { authorization: `Bearer ${key}` } : {}),
      ...(body ? { 'content-type': 'application/json' } : {}),
    };
    const request = http.request(
      { host: '127.0.0.1', port: fixture.api.port, method, path, headers, agent },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode!, text }));
      },
    );
    request.on('error', reject);
    request.end(body ? JSON.stringify(body) : undefined);
  });
}

async function inTurns<T>(all: readonly T[], work: (each: T) => Promise<void>): Promise<void> {
  const rest = [...all];
  const turn = async () => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, turn));
}

// Sampled while keys are used, whatever is answered.
const SAMPLED = ['last_used_at', 'last_used_ip'];
// What counts requests counts refused ones too.
const COUNTERS = ['request_windows'];

/** Of every table, and of the queue's tickets. */
async function digests(): Promise<Record<string, string>> {
  statement ??= await digestStatement();
  const rows = await tables.rows<{ name: string; digest: string }>(statement);
  return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]));
}

let statement: string | undefined;

/** A row that was written has another place or another transaction; where something is sampled, what is in it is compared. */
async function digestStatement(): Promise<string> {
  const found = await tables.rows<{ name: string; sampled: boolean }>(
    `SELECT c.oid::regclass::text AS name,
            EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY($2)) AS sampled
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND (n.nspname = 'public' AND NOT c.relname = ANY($1) OR c.oid = 'pgboss.job'::regclass)`,
    [COUNTERS, SAMPLED],
  );
  const written = `t.tableoid || ' ' || t.ctid || ' ' || t.xmin`;
  const content = `(to_jsonb(t) - '{${SAMPLED.join()}}'::text[])::text`;
  return found
    .map(
      ({ name, sampled }) => `SELECT '${name}' AS name, (
         SELECT md5(coalesce(string_agg(row, '|' ORDER BY row), ''))
           FROM (SELECT ${sampled ? content : written} AS row FROM ${name} t) rows) AS digest`,
    )
    .join('\nUNION ALL\n');
}
