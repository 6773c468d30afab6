import { STAFF } from '@app/contracts';
import { runDoctor } from '@app/console';
import { promoteHeld } from '@app/delivery';
import { fromPublicId, newId, systemClock, systemRandom } from '@app/domain';
import type { AcceptedEvent } from '@app/ingest';
import { recordRepository, type Database, type LaneChange, type OutcomeRecord } from '@app/persistence';
import type { Ticket } from '@app/queue';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

export interface Delivery {
  id: string;
  endpointId: string;
  subscriberId: string;
  status: string;
  place: string | null;
  trigger: string;
  tries: number;
  attempts: number;
  ticket: number;
  dueIn: number | null;
  failure: string | null;
  cancelReason: string | null;
  replayId: string | null;
  finished: boolean;
}

/** A database with the accepting half of the road, and a worker made of statements: no HTTP, every outcome is told. */
export class Bench {
  private constructor(
    readonly database: Database,
    /** May change the schema. */
    readonly owner: Database,
    readonly road: Pipeline,
    private readonly dropDatabase: () => Promise<void>,
  ) {}

  static async open(): Promise<Bench> {
    const test = await createTestDatabase();
    const database = await openDatabase(test.url);
    const owner = await openDatabase(test.url, 'owner');
    return new Bench(database, owner, await startPipeline(database, test.url), () => test.drop());
  }

  async close(): Promise<void> {
    await this.road.stop();
    await this.database.close();
    await this.owner.close();
    await this.dropDatabase();
  }

  /** Throws with what the doctor finds, if it finds anything. */
  async proveAll(): Promise<void> {
    const { checks } = await runDoctor(this.database, systemClock, { allowLossy: true });
    const broken = checks.filter((check) => !check.ok);
    if (broken.length > 0) throw new Error(`the doctor found ${JSON.stringify(broken)}`);
  }

  /** Publishes `count` events and answers their ids. */
  async publish(subscriberId: string, count = 1): Promise<string[]> {
    const events = Array.from({ length: count }, (_, n) => anEvent(subscriberId, { data: `{"n":${n}}` }));
    const { results } = await this.road.accept.accept({ scope: STAFF, events, idempotency: null });
    return results.map((result) => fromPublicId('evt', (result as AcceptedEvent).id)!);
  }

  claim(max = 1000): Promise<Ticket[]> {
    return this.road.queue.claim(max, []);
  }

  /** What T2 does, for claimed tickets that all end the same way. Held deliveries are promoted. */
  async record(tickets: Ticket[], next: OutcomeRecord['next'], failure: string | null = null): Promise<void> {
    await this.database.transaction(async (tx) => {
      const rows = await tx.query<{ id: string; subscriber_id: string; ticket: number }>(
        'SELECT id, subscriber_id, ticket FROM deliveries WHERE id = ANY($1)',
        [tickets.map((ticket) => ticket.deliveryId)],
      );
      const outcomes = tickets.map((ticket) =>
        outcomeOf(
          ticket,
          rows.find((row) => row.id === ticket.deliveryId)!,
          next,
          failure,
        ),
      );
      await recordRepository.lock(
        tx,
        outcomes.map((outcome) => outcome.deliveryId),
      );
      const recorded = await recordRepository.record(tx, outcomes);
      const changes = new Map<string, LaneChange>();
      for (const ticket of tickets) {
        const change = changes.get(ticket.endpointId) ?? {
          endpointId: ticket.endpointId,
          queued: 0,
          held: 0,
          waiting: 0,
          successes: 0,
          troubled: false,
        };
        changes.set(ticket.endpointId, change);
        const place = recorded.find((row) => row.id === ticket.deliveryId)?.oldPlace;
        if (place) change[place]--;
        if (next.status === 'pending') change[next.place]++;
      }
      await recordRepository.settleLanes(tx, [...changes.values()]);
      if (next.status === 'pending')
        await this.road.queue.insert(
          tx,
          tickets.map((ticket) => ({ ...ticket, inSeconds: next.inSeconds, priority: 0 })),
          { notify: false },
        );
    });
    const endpointIds = [...new Set(tickets.map((ticket) => ticket.endpointId))];
    await promoteHeld(this.database, this.road.queue, endpointIds);
  }

  async failAll(): Promise<void> {
    await this.record(
      await this.claim(),
      { status: 'failed', failure: 'http_5xx', gaveUp: 'permanent' },
      'http_5xx',
    );
  }

  async deliverAll(): Promise<void> {
    await this.record(await this.claim(), { status: 'delivered' });
  }

  /** All deliveries of a subscriber, oldest first. */
  deliveries(subscriberId: string): Promise<Delivery[]> {
    return this.database.query(
      `SELECT id, endpoint_id AS "endpointId", subscriber_id AS "subscriberId", status, place, trigger, tries, attempts, ticket,
              extract(epoch FROM due_at - now())::float8 AS "dueIn", failure, cancel_reason AS "cancelReason",
              replay_id AS "replayId", finished_at IS NOT NULL AS finished
         FROM deliveries WHERE subscriber_id = $1 ORDER BY id`,
      [subscriberId],
    );
  }

  /** Tickets of one delivery: more than one can only be a bug of the primary key, so 0 or 1, and when it is due. */
  tickets(deliveryId: string): Promise<{ state: string; in: number }[]> {
    return this.database.query(
      `SELECT state::text, extract(epoch FROM start_after - now())::float8 AS in FROM pgboss.job WHERE id = $1`,
      [deliveryId],
    );
  }

  async lane(endpointId: string): Promise<{ queued: number; held: number }> {
    const [row] = await this.database.query<{ queued: number; held: number }>(
      'SELECT queued, held FROM lanes WHERE endpoint_id = $1',
      [endpointId],
    );
    return row;
  }
}

function outcomeOf(
  ticket: Ticket,
  row: { subscriber_id: string; ticket: number },
  next: OutcomeRecord['next'],
  failure: string | null,
): OutcomeRecord {
  const at = new Date();
  return {
    deliveryId: ticket.deliveryId,
    subscriberId: row.subscriber_id,
    endpointId: ticket.endpointId,
    ticket: row.ticket,
    retryCount: ticket.retryCount,
    next,
    burnsTry: true,
    worker: 'test:1',
    attempt: {
      id: newId(at.getTime(), systemRandom),
      status: failure === null ? 'delivered' : 'failed',
      url: 'https://example.com/hook',
      startedAt: at,
      finishedAt: at,
      dnsMs: 1,
      connectMs: 2,
      tlsMs: null,
      firstByteMs: 3,
      totalMs: 4,
      statusCode: failure === null ? 200 : 503,
      failure,
      failureDetail: null,
      note: null,
      remoteAddress: '203.0.113.7',
      responseHeaders: '{"content-type":"text/plain"}',
      responseBody: 'thanks',
      responseEncoding: 'utf8',
      responseTruncated: false,
    },
  };
}
