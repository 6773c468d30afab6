// Real: the api with its HTTP server and PostgreSQL, and T1 on a table that somebody else has locked: a database that is slow.
import { Problem, STAFF } from '@app/contracts';
import type { AcceptAnswer } from '@app/ingest';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';
import { announceBatch, startApi, type ApiFixture } from './api-fixture.js';

describe('groups', () => {
  let nowMs = 0;
  let database: Database;
  let road: Pipeline;
  let subscriberId: string;
  let drop: () => Promise<void>;
  beforeAll(async () => {
    const created = await createTestDatabase();
    ({ drop } = created);
    database = await openDatabase(created.url);
    road = await startPipeline(database, created.url, { monotonic: () => nowMs });
    ({ subscriberId } = await registerSubscriber(database, []));
  });
  afterAll(async () => {
    await road.stop();
    await database.close();
    await drop();
  });

  const publish = (events: number): Promise<AcceptAnswer> =>
    road.accept.accept({
      scope: STAFF,
      events: Array.from({ length: events }, () => anEvent(subscriberId)),
      idempotency: null,
    });
  const groups = async (): Promise<{ count: number; events: number }> => {
    const { values } = await road.metrics.acceptGroupSize.get();
    const of = (end: string) => values.find(({ metricName }) => metricName?.endsWith(end))!.value;
    return { count: of('_count'), events: of('_sum') };
  };
  /** Runs `work` while no group can store anything. */
  const whileStuck = (work: () => Promise<void>): Promise<void> =>
    database.transaction(async (tx) => {
      await tx.query('LOCK TABLE events IN ACCESS EXCLUSIVE MODE');
      await work();
    });

  it('wait for a large one and then go together; beside a small one nobody waits', async () => {
    await Promise.all([publish(10), publish(1), publish(1), publish(1)]);
    expect(await groups()).toEqual({ count: 2, events: 13 });
    await Promise.all([publish(1), publish(1), publish(1)]);
    expect(await groups()).toEqual({ count: 5, events: 16 });
  });

  it('that are late refuse newcomers at once, and let go who has waited too long; nobody is told what is not so', async () => {
    const before = (await database.query('SELECT id FROM events')).length;
    let [running, waiting]: Promise<AcceptAnswer | Error>[] = [];
    await whileStuck(async () => {
      running = publish(10);
      waiting = publish(1).catch((error: Error) => error);
      nowMs += 1_900;
      expect(() => road.accept.refuseWhenBehind(1)).not.toThrow();
      nowMs += 200;
      await expect(publish(1)).rejects.toMatchObject({
        code: 'unavailable',
        extra: { retryAfterSeconds: 2 },
      });
      nowMs += 8_000;
    });
    expect(await running).toMatchObject({ replayed: false });
    expect(await waiting).toBeInstanceOf(Problem);
    expect(await database.query('SELECT id FROM events')).toHaveLength(before + 10);
    await publish(1);
  });

  it('have 20,000 events before them at most', async () => {
    const results: Promise<unknown>[] = [];
    await whileStuck(async () => {
      for (let n = 0; n < 23; n++) results.push(publish(1000).catch((error: Error) => error));
      await expect(results.at(-1)).resolves.toMatchObject({ code: 'unavailable' });
      // Two groups are under way; the twenty behind them are let go when their turn comes.
      nowMs += 11_000;
    });
    const refused = (await Promise.all(results)).filter((result) => result instanceof Problem);
    expect(refused).toHaveLength(21);
  });
});

describe('bodies', () => {
  let fixture: ApiFixture;
  beforeAll(async () => void (fixture = await startApi()));
  afterAll(() => fixture?.stop());

  it('are not read when there is no room for them; one key has half of it, and it is free again when they are gone', async () => {
    const event = { subscriber: 'nobody', type: 'a.b', data: 1 };
    const { key: other } = await fixture.key(['events:write']);
    const announced = [];
    // Each is heard of before the next: the server says that it may come.
    for (let n = 0; n < 4; n++) {
      const each = announceBatch(fixture);
      expect(await each.answer).toContain('100 Continue');
      announced.push(each);
    }
    const refused = await fixture.call('POST', '/v1/events', event);
    expect(refused).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect(refused.headers.get('retry-after')).toBe('1');
    expect((await fixture.call('GET', '/v1/subscribers')).status).toBe(200);
    expect((await fixture.call('POST', '/v1/events', event, { key: other })).body.code).toBe(
      'unknown_subscriber',
    );
    for (const { socket } of announced) socket.destroy();
    await expect
      .poll(async () => (await fixture.call('POST', '/v1/events', event)).body.code as string)
      .toBe('unknown_subscriber');
  });
});
