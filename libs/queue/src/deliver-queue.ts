import { DELIVER_QUEUE, DUE_CHANNEL, dueNoticePayload, type DueNotice } from '@app/contracts';
import { isUuid } from '@app/domain';
import { arrayOf, type Database, type Rehearsal, type Tx } from '@app/persistence';
import { PgBoss } from 'pg-boss';

/** A claimed ticket: whose it is, and the attempt of the job that fences its settling. */
export interface Ticket {
  deliveryId: string;
  endpointId: string;
  retryCount: number;
}

/** As a claim answers it. */
export interface TicketInHand extends Ticket {
  priority: 0 | 1 | 2;
}

/** Which tickets a claim is for: see `ticketPriority` in domain. */
export interface ClaimOf {
  priorityMin?: 0 | 1 | 2;
  priorityMax?: 0 | 1 | 2;
  /** None that was made before. */
  since?: Date | null;
}

/** A ticket to insert: due now, or after so many seconds on the database's clock. */
export interface NewTicket {
  deliveryId: string;
  endpointId: string;
  inSeconds?: number;
  /** Higher first. */
  priority: 0 | 1 | 2;
  /** Whoever inserts it has it in hand, as after a claim: nobody else is offered it. */
  claimed?: true;
}

interface Job {
  id: string;
  retryCount: number;
  groupId: string;
  priority: 0 | 1 | 2;
}

// The delivery row is the truth: a ticket whose group is not its endpoint is replaced by one that is right.
const NO_ENDPOINT = '00000000-0000-0000-0000-000000000000';

// From asking to the row's own time. Well below the heartbeat, before whose end nobody else can have claimed it.
const CLAIM_TAKES_SECONDS_MAX = 6;

// Both are what pg-boss's `insert` and `fetch` do to a queue like this one, without what it does for others: its insert reads
// JSON and works out 24 columns (15 µs a ticket; 6), its fetch cannot be prepared and answers columns that nobody reads. A test
// compares the rows that they leave with pg-boss's own, column by column. (docs/adr/0014)
//
// A ticket that is there stays. Nobody else inserts it meanwhile: whoever does has locked its delivery in an earlier statement, or has just made it;
// supervision, which deletes a lost claim and inserts it again, does so in one statement, so that one of the two is seen. So they are looked
// for once, which is cheaper than ON CONFLICT by a third of the whole (17 → 12 µs a ticket); a violated key would be a bug of ours, and is told.
const INSERT = `
  WITH q AS MATERIALIZED (SELECT * FROM pgboss.queue WHERE name = '${DELIVER_QUEUE}')
  INSERT INTO pgboss.job (id, name, data, priority, start_after, created_on, group_id, expire_seconds, deletion_seconds, keep_until,
                          retry_limit, retry_delay, retry_backoff, retry_delay_max, policy, dead_letter, heartbeat_seconds,
                          state, started_on, heartbeat_on)
  SELECT t.id, q.name, '{}', t.priority, t.start_after, pgboss.job_now(), t.endpoint_id, q.expire_seconds, q.deletion_seconds,
         t.start_after + q.retention_seconds * interval '1 second',
         q.retry_limit, q.retry_delay, q.retry_backoff, q.retry_delay_max, q.policy, q.dead_letter, q.heartbeat_seconds,
         CASE WHEN t.claimed THEN 'active' ELSE 'created' END::pgboss.job_state,
         CASE WHEN t.claimed THEN pgboss.job_now() END, CASE WHEN t.claimed THEN pgboss.job_now() END
    FROM (
         SELECT u.id, u.endpoint_id, u.priority, u.claimed, pgboss.job_now() + u.in_seconds * interval '1 second' AS start_after
           FROM unnest($1::uuid[], $2::text[], $3::int[], $4::float8[], $5::bool[]) AS u (id, endpoint_id, priority, in_seconds, claimed)
          WHERE u.id <> ALL (ARRAY(SELECT j.id FROM pgboss.job j WHERE j.name = '${DELIVER_QUEUE}' AND j.id = ANY ($1::uuid[])))) t
    -- Without its queue a ticket has no name, which is refused.
    LEFT JOIN q ON true`;
// By an array, not by a join: on a connection that planned while the queue was empty a join took 230 ms of 20,000 tickets.
const CLAIM = `
  WITH next AS (
    SELECT id FROM pgboss.job
     WHERE name = '${DELIVER_QUEUE}' AND state < 'active' AND NOT blocked AND start_after <= pgboss.job_now()
       AND (group_id IS NULL OR group_id <> ALL ($2::text[])) AND priority BETWEEN $3 AND $4
       AND created_on >= $5::timestamptz
     ORDER BY priority DESC, created_on LIMIT $1 FOR UPDATE SKIP LOCKED)
  UPDATE pgboss.job SET state = 'active', started_on = pgboss.job_now(), heartbeat_on = pgboss.job_now(),
         retry_count = retry_count + (started_on IS NOT NULL)::int
   WHERE name = '${DELIVER_QUEUE}' AND id = ANY (ARRAY(SELECT id FROM next))
  RETURNING id, group_id AS "groupId", retry_count AS "retryCount", priority`;
const PRIORITY_LOWEST = 0;
const PRIORITY_HIGHEST = 2;
const THE_FIRST = '-infinity';

/** What pg-boss reports on its own account: a failed supervision or a warning about the queue. */
export type QueueEvents = (kind: 'error' | 'warning', detail: unknown) => void;

// A killed worker's tickets: heartbeat (12 s, in the queue's options) + this, and the pump's poll: well within 30 s.
const SUPERVISE_SECONDS = 4;
// After an outage every claim looks dead until its worker, which has outcomes to write, has come back too. Measured with
// 14 s away: without this the supervisor was first every other time, and all that had been under way was sent again.
const BACK_FOR_MS = 10_000;

/**
 * The delivery queue: tickets in and out of pg-boss, always in the caller's transaction where rows change too.
 * The delivery row is the truth; a ticket only says that something is to be done.
 */
export class DeliverQueue {
  private readonly boss: PgBoss;
  private started = false;
  private timer: NodeJS.Timeout | undefined;
  private pass: Promise<void> = Promise.resolve();
  /** When the database was last found away; long ago at the start: a new worker has nothing to wait for. */
  private awayAt = -BACK_FOR_MS;

  constructor(
    private readonly database: Database,
    private readonly options: { supervise: boolean; on: QueueEvents },
  ) {
    this.boss = new PgBoss({
      db: database.queue,
      schema: 'pgboss',
      migrate: false,
      createSchema: false,
      schedule: false,
      // By `superviseOnce`, which knows when to wait.
      supervise: false,
      superviseIntervalSeconds: SUPERVISE_SECONDS,
      monitorIntervalSeconds: SUPERVISE_SECONDS,
      // Index rebuilds need ownership of the tables; docs/runbooks says how an operator does them.
      reindex: false,
      monitorVacuum: false,
    });
    this.boss.on('error', (error) => options.on('error', error));
    this.boss.on('warning', (warning) => options.on('warning', warning));
  }

  async start(): Promise<void> {
    await this.boss.start();
    this.started = true;
    if (this.options.supervise) this.superviseLater();
  }

  /** Before anybody waits: connections that have planned what they will be asked, this queue's statements included. */
  async warm(rehearse: Rehearsal, { claims }: { claims: boolean }): Promise<void> {
    await this.database.warm(
      (tx) => [...rehearse(tx), this.insertRows(tx, [])],
      () => (claims ? this.claim(0, []) : Promise.resolve()),
    );
  }

  /** Stops supervision; tickets that are claimed stay claimed, so the caller settles or releases them first. */
  async stop(): Promise<void> {
    if (!this.started) return;
    this.started = false;
    clearTimeout(this.timer);
    await this.pass;
    await this.boss.stop({ graceful: false, close: false });
  }

  private superviseLater(): void {
    this.timer = setTimeout(() => {
      this.pass = this.superviseOnce().finally(() => this.started && this.superviseLater());
    }, SUPERVISE_SECONDS * 1000);
  }

  /** Gives back what has expired, once the database has been there long enough for its owners to say so first. */
  private async superviseOnce(): Promise<void> {
    try {
      await this.database.query('SELECT 1');
      if (performance.now() - this.awayAt >= BACK_FOR_MS) await this.boss.supervise(DELIVER_QUEUE);
    } catch (error) {
      this.awayAt = performance.now();
      this.options.on('error', error);
    }
  }

  /**
   * Claims up to `max` due tickets: those of the highest priority, and of them the longest waiting, none of the endpoints in
   * `except`. They are answered in no order.
   */
  async claim(max: number, except: string[], of: ClaimOf = {}): Promise<TicketInHand[]> {
    const { priorityMin = PRIORITY_LOWEST, priorityMax = PRIORITY_HIGHEST } = of;
    const values = [max, except, priorityMin, priorityMax, of.since ?? THE_FIRST];
    const { rows: jobs } = await this.database.claims.query<Job>({
      name: 'queue_claim',
      text: CLAIM,
      values,
    });
    // A job that is not ours to begin with must not break the statement that loads all others' rows.
    return jobs.map(({ id, groupId, retryCount, priority }) => ({
      deliveryId: id,
      endpointId: isUuid(groupId) ? groupId : NO_ENDPOINT,
      retryCount,
      priority,
    }));
  }

  /** Inserts tickets with the rows that they stand for; wakes the pumps at commit when one is due now. */
  async insert(tx: Tx, tickets: NewTicket[], options: { notify: boolean }): Promise<void> {
    if (tickets.length === 0) return;
    await this.insertRows(tx, tickets);
    if (options.notify && tickets.some((ticket) => !ticket.inSeconds)) await this.notify(tx, 'tickets');
  }

  private insertRows(tx: Tx, tickets: NewTicket[]): Promise<unknown> {
    return tx.prepared('queue_insert', INSERT, [
      arrayOf(tickets.map((ticket) => ticket.deliveryId)),
      arrayOf(tickets.map((ticket) => ticket.endpointId)),
      arrayOf(tickets.map((ticket) => ticket.priority)),
      arrayOf(tickets.map((ticket) => ticket.inSeconds ?? 0)),
      arrayOf(tickets.map((ticket) => ticket.claimed)),
    ]);
  }

  /** Wakes the workers when this transaction commits. */
  async notify(tx: Tx, notice: DueNotice): Promise<void> {
    await tx.query('SELECT pg_notify($1, $2)', [DUE_CHANNEL, dueNoticePayload(notice)]);
  }

  /** Takes back tickets that nobody has claimed. Answers the deliveries whose ticket was taken. */
  async withdraw(tx: Tx, deliveryIds: string[]): Promise<Set<string>> {
    const rows = await tx.query<{ id: string }>(
      `DELETE FROM pgboss.job WHERE name = $1 AND id = ANY($2::uuid[]) AND state < 'active' RETURNING id`,
      [DELIVER_QUEUE, deliveryIds],
    );
    return new Set(rows.map((row) => row.id));
  }

  /**
   * Which of these claims are still the ones that were made then. After a sleep `touch` cannot tell: a delivery's next ticket
   * has the same id and counts from 0 again, so another's claim of it looks like ours.
   */
  async stillOwn(tickets: (Ticket & { claimedAtMs: number })[]): Promise<Set<string>> {
    if (tickets.length === 0) return new Set();
    const rows = await this.database.query<{ id: string }>(
      `SELECT j.id FROM unnest($2::uuid[], $3::int[], $4::float8[]) AS t (id, retry_count, claimed_at)
         JOIN pgboss.job j ON j.name = $1 AND j.id = t.id
        WHERE j.state = 'active' AND j.retry_count = t.retry_count
          AND j.started_on < to_timestamp(t.claimed_at / 1000) + interval '${CLAIM_TAKES_SECONDS_MAX} seconds'`,
      [
        DELIVER_QUEUE,
        tickets.map((ticket) => ticket.deliveryId),
        tickets.map((ticket) => ticket.retryCount),
        tickets.map((ticket) => ticket.claimedAtMs),
      ],
    );
    return new Set(rows.map((row) => row.id));
  }

  /** Proves to the supervisor that these claims are alive. Answers the deliveries whose claim still is. */
  async touch(tickets: Ticket[]): Promise<Set<string>> {
    if (tickets.length === 0) return new Set();
    const answer = await this.boss.touch(
      DELIVER_QUEUE,
      tickets.map((ticket) => ({ id: ticket.deliveryId, retryCount: ticket.retryCount })),
      { db: this.database.hotQueue },
    );
    return new Set((answer as unknown as { settled: string[] }).settled);
  }
}
