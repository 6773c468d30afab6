// Real: the api, PostgreSQL, and a TCP relay between the two that can be cut.
import { createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { systemRandom } from '@app/domain';
import { ensureAdminKey, hashKey } from '@app/endpoints';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { StartError } from '@app/persistence';
import { createApi, type Api } from '../../apps/api/src/create-api.js';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';
import { ADMIN_KEY, configFor } from './api-fixture.js';

let database: Awaited<ReturnType<typeof createTestDatabase>>;
beforeAll(async () => void (database = await createTestDatabase()));
afterAll(() => database?.drop());

const ask = (api: Api, path: string, init: RequestInit = {}) =>
  fetch(api.url + path, {
    ...init,
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
  });

/** Relays to the database until it is cut; mended, it relays again. */
class Relay {
  private readonly pairs = new Set<{ socket: Socket; onward: Socket }>();
  private stalled = false;
  private server: Server | undefined;
  private port = 0;
  constructor(private readonly target: URL) {}

  async mend(): Promise<string> {
    this.server = createServer((socket) => {
      const onward = connect(Number(this.target.port), this.target.hostname);
      const pair = { socket, onward };
      this.pairs.add(pair);
      for (const each of [socket, onward])
        each
          .on('error', () => undefined)
          .on('close', () => (socket.destroy(), onward.destroy(), this.pairs.delete(pair)));
      if (!this.stalled) socket.pipe(onward).pipe(socket);
    });
    await once(this.server.listen(this.port, '127.0.0.1'), 'listening');
    this.port = (this.server.address() as { port: number }).port;
    const url = new URL(this.target);
    url.host = `127.0.0.1:${this.port}`;
    return url.href;
  }

  /** Open, and nothing comes through: as behind a firewall that has forgotten us. */
  stall(): void {
    this.stalled = true;
    for (const { socket, onward } of this.pairs) [socket, onward].forEach((each) => each.unpipe().pause());
  }

  /** It comes through, late. */
  goOn(): void {
    this.stalled = false;
    for (const { socket, onward } of this.pairs) socket.pipe(onward).pipe(socket);
  }

  async cut(): Promise<void> {
    const closed = once(this.server!, 'close');
    this.server!.close();
    for (const { socket } of this.pairs) socket.destroy();
    await closed;
  }
}

describe('start', () => {
  it('refuses a database that loses what was committed, unless told that one knows', async () => {
    const config = configFor(database.url, { DANGEROUS_ALLOW_LOSSY_DATABASE: 'false' });
    await expect(createApi(config)).rejects.toThrow(/fsync.* = off.*DANGEROUS_ALLOW_LOSSY_DATABASE/);
  });

  it('refuses a database that lacks migrations, one that refuses us, and gives up on one that is away', async () => {
    const url = new URL(database.url);
    const other = (change: (url: URL) => void) => {
      const copy = new URL(url);
      change(copy);
      return createApi(configFor(copy.href), { waitMs: 1200 });
    };
    await expect(other((each) => (each.pathname = '/postgres'))).rejects.toThrow(
      /lacks \d+ of our migrations.*posthorn migrate/,
    );
    await expect(other((each) => (each.pathname = '/nowhere'))).rejects.toThrow(/database refuses us/);
    const away = other((each) => (each.host = '127.0.0.1:1'));
    await expect(away).rejects.toThrow(StartError);
    await expect(away).rejects.toThrow(/cannot be reached for 1.2 s/);
  });

  it('waits for a database that comes up', async () => {
    const relay = new Relay(new URL(database.url));
    const url = await relay.mend();
    await relay.cut();
    const starting = createApi(configFor(url), { waitMs: 10_000 });
    await relay.mend();
    const api = await starting;
    expect((await ask(api, '/health/ready')).status).toBe(200);
    await api.close();
    await relay.cut();
  });

  it('makes the first admin key once, and registers a given one by its hash', async () => {
    const fresh = await createTestDatabase();
    const api = await createApi(configFor(fresh.url, { POSTHORN_ADMIN_KEY: '' }));
    const none = { POSTHORN_ADMIN_KEY: null, POSTHORN_ENVIRONMENT: 'live' };
    const outside = await openDatabase(fresh.url);
    const made = await Promise.all([1, 2, 3].map(() => ensureAdminKey(outside, none, systemRandom)));
    expect(made.filter((key) => key !== null)).toEqual([expect.stringMatching(/^ph_live_/)]);
    for (let n = 0; n < 2; n++)
      expect(
        await ensureAdminKey(outside, { ...none, POSTHORN_ADMIN_KEY: ADMIN_KEY }, systemRandom),
      ).toBeNull();
    expect(
      await outside.query('SELECT scopes FROM api_keys WHERE key_hash = $1', [hashKey(ADMIN_KEY)]),
    ).toEqual([{ scopes: ['admin'] }]);
    expect((await ask(api, '/v1/subscribers')).status).toBe(200);
    await api.close();
    await outside.close();
    await fresh.drop();
  });
});

describe('a database', () => {
  let relay: Relay;
  let api: Api;
  beforeAll(async () => {
    relay = new Relay(new URL(database.url));
    api = await createApi(configFor(await relay.mend()));
  });
  afterAll(async () => {
    await api.close();
    await relay.cut();
  });

  it('that goes away is 503 with Retry-After, and nothing else needs to be done when it is back', async () => {
    const create = () => ask(api, '/v1/subscribers', { method: 'POST', body: '{"name":"x"}' });
    expect((await create()).status).toBe(201);
    await relay.cut();
    for (const answer of [
      await create(),
      await ask(api, '/v1/event-types'),
      await ask(api, '/health/ready'),
    ]) {
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
      expect(await answer.json()).toMatchObject({ code: 'unavailable', status: 503 });
    }
    expect((await ask(api, '/health/live')).status).toBe(200);
    await relay.mend();
    expect((await create()).status).toBe(201);
    expect((await ask(api, '/health/ready')).status).toBe(200);
  });

  it('that hangs is told soon to whoever asks whether we are ready, and has one question to answer', async () => {
    const asked = vi.spyOn(api.database, 'query');
    relay.stall();
    const startedMs = performance.now();
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask(api, '/health/ready')));
    answers.push(await ask(api, '/health/ready'));
    // It gives up on a question after 15 s.
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    for (const answer of answers) {
      expect(answer.status).toBe(503);
      expect(await answer.json()).toMatchObject({ detail: 'Not ready: database, migrations, queue.' });
    }
    expect(asked).toHaveBeenCalledTimes(1);
    relay.goOn();
    while ((await ask(api, '/health/ready')).status !== 200);
  });
});

describe('stop', () => {
  it('finishes what is under way and takes nothing new', async () => {
    const api = await createApi(configFor(database.url));
    await ask(api, '/v1/subscribers', { method: 'POST', body: '{"name":"held","externalId":"held"}' });
    let stopped: Promise<void> | undefined;
    let running: Promise<Response> | undefined;
    const owner = await openDatabase(database.url, 'owner');
    await owner.transaction(async (tx) => {
      await tx.query(`SELECT 1 FROM subscribers WHERE external_id = 'held' FOR UPDATE`);
      running = ask(api, '/v1/subscribers/held', { method: 'PATCH', body: '{"name":"done"}' });
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      // A transaction sees one picture of the activity, until it says that it wants another.
      while ((await tx.query(waiting)).length === 0) await tx.query('SELECT pg_stat_clear_snapshot()');
      stopped = api.close();
    });
    expect(await (await running!).json()).toMatchObject({ name: 'done' });
    await stopped;
    await owner.close();
    await expect(ask(api, '/health/live')).rejects.toThrow();
  });
});

describe('what anybody may read', () => {
  it('is health, the document and Swagger UI with nothing from elsewhere', async () => {
    const api = await createApi(configFor(database.url));
    await ask(api, '/v1/subscribers/nobody');
    const open = (path: string) => fetch(api.url + path);
    expect(await (await open('/health/live')).json()).toEqual({ status: 'up' });
    expect(await (await open('/health/ready')).json()).toEqual({
      status: 'up',
      checks: { database: 'up', migrations: 'up', queue: 'up' },
    });
    const metrics = await (await ask(api, '/metrics')).text();
    expect(metrics).toMatch(
      /posthorn_http_request_seconds_count\{method="GET",route="\/v1\/subscribers\/:subscriber",status="404"\} 1/,
    );
    expect(await (await open('/openapi.json')).json()).toMatchObject({ openapi: '3.1.0' });
    const page = await (await open('/docs')).text();
    const assets = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(
      (match) => new URL(match[1], `${api.url}/docs`),
    );
    expect(assets.length).toBeGreaterThan(3);
    for (const asset of assets) {
      expect(asset.origin).toBe(api.url);
      expect((await fetch(asset)).status, asset.href).toBe(200);
    }
    await api.close();
  });
});
