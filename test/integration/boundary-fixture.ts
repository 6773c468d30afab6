import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { STAFF } from '@app/contracts';
import { runDoctor } from '@app/console';
import { fromPublicId, newId, systemClock, systemRandom } from '@app/domain';
import type { FinishedTicket } from '@app/delivery';
import type { AcceptableEvent, AcceptedEvent } from '@app/ingest';
import type { Database } from '@app/persistence';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

/** One request as the receiver saw it. */
export interface Hit {
  path: string;
  /** What the publisher wrote: `{"n": …}` as tests here publish it. */
  data: { n: number; key?: string };
  atMs: number;
  /** When it was answered; Infinity while it was not. */
  answeredMs: number;
  status: number;
  headers: Record<string, string>;
  response: ServerResponse;
}

/** A status; with `headers`, or after a while; or null: the test answers by hand (`hit.response`), or never. */
export type Answer = number | { status: number; headers?: Record<string, string>; afterMs?: number } | null;

export interface Customer {
  subscriberId: string;
  endpointId: string;
  path: string;
}

/**
 * Endpoints with any policy, workers in this process that share nothing but the database, and a receiver on loopback that
 * answers as each test says. Loops of lanes are run by hand, time is moved by SQL.
 */
export class Boundary {
  readonly hits: Hit[] = [];
  private readonly answers = new Map<string, Answer | ((hit: Hit) => Answer)>();
  private customers = 0;

  private constructor(
    readonly url: string,
    readonly database: Database,
    readonly workers: Pipeline[],
    private readonly server: Server,
    private readonly dropDatabase: () => Promise<void>,
  ) {
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      const atMs = performance.now();
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { data } = JSON.parse(Buffer.concat(chunks).toString()) as { data: Hit['data'] };
        const headers = request.headers as Record<string, string>;
        const hit = { path: request.url!, data, atMs, answeredMs: Infinity, status: 0, headers, response };
        this.hits.push(hit);
        this.answer(hit);
      });
    });
  }

  static async open(
    options: {
      workers?: number;
      concurrency?: number;
      concurrencyPerEndpoint?: number;
      /** Nobody claims until a test starts a pump. */
      still?: boolean;
    } = {},
  ): Promise<Boundary> {
    const { url, drop } = await createTestDatabase();
    const database = await openDatabase(url);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const workers: Pipeline[] = [];
    for (let n = 0; n < (options.workers ?? 1); n++) {
      const worker = await startPipeline(database, url, { worker: `test:${n}` });
      if (!options.still) await worker.startPump(options);
      workers.push(worker);
    }
    return new Boundary(url, database, workers, server, drop);
  }

  async close(): Promise<void> {
    // What hangs ends first, or each worker would wait for it.
    this.server.close();
    this.server.closeAllConnections();
    await Promise.all(this.workers.map((worker) => worker.stop()));
    await this.database.close();
    await this.dropDatabase();
  }

  private answer(hit: Hit): void {
    const how = this.answers.get(hit.path);
    const given = typeof how === 'function' ? how(hit) : how === undefined ? 200 : how;
    if (given === null) return;
    const { status, headers = {}, afterMs = 0 } = typeof given === 'number' ? { status: given } : given;
    if (afterMs > 0) setTimeout(() => this.reply(hit, status, headers), afterMs);
    else this.reply(hit, status, headers);
  }

  /** Answers a hit that was left open. */
  reply(hit: Hit, status: number, headers: Record<string, string> = {}): void {
    hit.status = status;
    hit.answeredMs = performance.now();
    hit.response.writeHead(status, headers).end('thanks');
  }

  /** What the receiver does at this endpoint from now on. */
  answering(customer: Customer, how: Answer | ((hit: Hit) => Answer)): void {
    this.answers.set(customer.path, how);
  }

  /** A subscriber with one endpoint; `columns` of `endpoints` and `lane` of `lanes` are set by statement. */
  async customer(
    columns: Record<string, unknown> = {},
    lane: Record<string, unknown> = {},
  ): Promise<Customer> {
    const path = `/${++this.customers}`;
    const { port } = this.server.address() as AddressInfo;
    const { subscriberId, endpointIds } = await registerSubscriber(this.database, [
      `http://127.0.0.1:${port}${path}`,
    ]);
    const customer = { subscriberId, endpointId: endpointIds[0], path };
    await this.set('endpoints', customer, columns);
    await this.set('lanes', customer, lane);
    return customer;
  }

  async set(
    table: 'endpoints' | 'lanes',
    { endpointId }: Customer,
    columns: Record<string, unknown>,
  ): Promise<void> {
    const names = Object.keys(columns);
    if (names.length === 0) return;
    const values = names.map((name) => {
      const value = columns[name];
      return typeof value === 'object' && value !== null && !(value instanceof Date)
        ? JSON.stringify(value)
        : value;
    });
    await this.database.query(
      `UPDATE ${table} SET ${names.map((name, at) => `${name} = $${at + 2}`).join(', ')}
        WHERE ${table === 'lanes' ? 'endpoint_id' : 'id'} = $1`,
      [endpointId, ...values],
    );
  }

  /** Publishes `{"n":from}` … in one request, and answers the deliveries' ids in that order. */
  async publish(
    { subscriberId, endpointId }: Customer,
    count = 1,
    event: Partial<AcceptableEvent> & { from?: number; key?: (n: number) => string } = {},
  ): Promise<string[]> {
    const { from = 0, key, ...overrides } = event;
    const events = Array.from({ length: count }, (_, at) => {
      const orderingKey = key ? key(from + at) : (overrides.orderingKey ?? null);
      const data = JSON.stringify({ n: from + at, ...(orderingKey === null ? {} : { key: orderingKey }) });
      return anEvent(subscriberId, { data, ...overrides, orderingKey });
    });
    const { results } = await this.workers[0].accept.accept({ scope: STAFF, events, idempotency: null });
    const eventIds = results.map((result) => fromPublicId('evt', (result as AcceptedEvent).id)!);
    const rows = await this.database.query<{ id: string; event_id: string }>(
      'SELECT id, event_id FROM deliveries WHERE endpoint_id = $1 AND event_id = ANY($2::uuid[])',
      [endpointId, eventIds],
    );
    const byEvent = new Map(rows.map((row) => [row.event_id, row.id]));
    return eventIds.map((id) => byEvent.get(id)!);
  }

  hitsOf({ path }: Customer): Hit[] {
    return this.hits.filter((hit) => hit.path === path);
  }

  /** Until the receiver has had so many requests of this endpoint. */
  untilHits(customer: Customer, wanted: number, timeoutMs?: number): Promise<number> {
    const count = (): number => this.hitsOf(customer).length;
    return this.until(count, (n) => n === wanted, timeoutMs);
  }

  /** Asks until it is so; what it last was is in the error. */
  async until<T>(ask: () => Promise<T> | T, wanted: (value: T) => boolean, timeoutMs = 15_000): Promise<T> {
    for (const deadline = performance.now() + timeoutMs; ;) {
      const value = await ask();
      if (wanted(value)) return value;
      if (performance.now() > deadline)
        throw new Error(`not within ${timeoutMs} ms: ${JSON.stringify(value)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** How many deliveries of this endpoint are in each state, such as `{ delivered: 3, held: 1 }`. */
  async counts({ endpointId }: Customer): Promise<Record<string, number>> {
    const rows = await this.database.query<{ state: string; n: number }>(
      `SELECT coalesce(place, status) AS state, count(*)::int AS n FROM deliveries WHERE endpoint_id = $1 GROUP BY 1`,
      [endpointId],
    );
    return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
  }

  untilCounts(
    customer: Customer,
    wanted: Record<string, number>,
    timeoutMs?: number,
  ): Promise<Record<string, number>> {
    const same = (counts: Record<string, number>): boolean =>
      Object.keys(counts).length === Object.keys(wanted).length &&
      Object.entries(wanted).every(([state, n]) => counts[state] === n);
    return this.until(() => this.counts(customer), same, timeoutMs);
  }

  // oxlint-disable-next-line no-explicit-any
  async lane({ endpointId }: Customer): Promise<any> {
    const [row] = await this.database.query('SELECT * FROM lanes WHERE endpoint_id = $1', [endpointId]);
    return row;
  }

  // oxlint-disable-next-line no-explicit-any
  async delivery(id: string): Promise<any> {
    const [row] = await this.database.query('SELECT * FROM deliveries WHERE id = $1', [id]);
    return row;
  }

  async transitions({ endpointId }: Customer): Promise<{ kind: string; detail: Record<string, unknown> }[]> {
    return this.database.query(
      'SELECT kind, detail FROM lane_transitions WHERE endpoint_id = $1 ORDER BY at, id',
      [endpointId],
    );
  }

  attempts({ endpointId }: Customer): Promise<{ delivery_id: string; n: number; failure: string | null }[]> {
    return this.database.query(
      'SELECT delivery_id, n, failure, trigger FROM attempts WHERE endpoint_id = $1 ORDER BY id',
      [endpointId],
    );
  }

  keys({ endpointId }: Customer): Promise<{ key: string; state: string; delivery_id: string | null }[]> {
    return this.database.query(
      'SELECT key, state, delivery_id FROM ordering_keys WHERE endpoint_id = $1 ORDER BY key',
      [endpointId],
    );
  }

  /** The deliveries' due time has come, and their tickets'. */
  async makeDue(ids: string[]): Promise<void> {
    await this.database.query(`UPDATE deliveries SET due_at = now() WHERE id = ANY($1::uuid[])`, [ids]);
    await this.database.query(`UPDATE pgboss.job SET start_after = now() WHERE id = ANY($1::uuid[])`, [ids]);
  }

  /** Throws with what the doctor finds. */
  async proveAll(): Promise<void> {
    const { checks } = await runDoctor(this.database, systemClock, { allowLossy: true });
    const broken = checks.filter((check) => !check.ok);
    if (broken.length > 0) throw new Error(`the doctor found ${JSON.stringify(broken)}`);
  }
}

/** What a worker hands to RecordOutcomes for a claim of its own, as if it had made an attempt. */
export function outcomeOf(
  // oxlint-disable-next-line no-explicit-any
  row: any,
  ticket: { retryCount: number; endpointId: string },
  how: 'failed' | 'delivered',
): FinishedTicket {
  const at = new Date();
  const failure = how === 'failed' ? 'http_5xx' : null;
  return {
    deliveryId: row.id,
    subscriberId: row.subscriber_id,
    endpointId: ticket.endpointId,
    eventId: row.event_id,
    ticket: row.ticket,
    retryCount: ticket.retryCount,
    trigger: row.trigger,
    critical: false,
    orderingKey: null,
    orderedFailure: 'block',
    retryAfterSeconds: null,
    disable: null,
    proof: null,
    failureIsTold: false,
    burnsTry: true,
    worker: 'test:9',
    next:
      how === 'failed' ? { status: 'pending', place: 'waiting', inSeconds: 3600 } : { status: 'delivered' },
    attempt: {
      id: newId(at.getTime(), systemRandom),
      status: how,
      url: 'http://127.0.0.1/',
      startedAt: at,
      finishedAt: at,
      dnsMs: null,
      connectMs: null,
      tlsMs: null,
      firstByteMs: null,
      totalMs: 1,
      statusCode: how === 'failed' ? 500 : 200,
      failure,
      failureDetail: null,
      note: null,
      remoteAddress: null,
      responseHeaders: null,
      responseBody: null,
      responseEncoding: null,
      responseTruncated: false,
    },
  };
}
