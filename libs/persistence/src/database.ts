import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { systemRandom, type Random } from '@app/domain';
import type { Keyring } from '@app/sealing';
import type { Db as QueueDb } from 'pg-boss';
import pg, { type Pool, type PoolClient, type PoolConfig, type QueryConfig, type QueryResult } from 'pg';
import { DataSource, type EntityManager } from 'typeorm';
import type { Cells } from './cells.js';
import { shareOut } from './data-source.js';
import { isTransientConflict } from './database-errors.js';
import { currentSetting, EVERY_SUBSCRIBER, setLocally } from './row-scope.js';
import { Vault } from './vault.js';

type Row = Record<string, unknown>;

/**
 * Keeps rows as they come. pg makes an object of each, under names that it learns anew from every answer, and of each
 * timestamp a Date by way of a regular expression: for what the pump loads, half as much again as reading it off the wire.
 */
class CellsQuery extends pg.Query {
  readonly cells: Cells[] = [];

  handleRowDescription(): void {}

  handleDataRow(message: { fields: Cells }): void {
    this.cells.push(message.fields);
  }
}

/** What takes a query object of pg's: its types leave the callback out. */
interface TakesQueries {
  query(query: CellsQuery, values: undefined, done: (error: Error | null) => void): unknown;
}

function queryCells(on: Pool | PoolClient, statement: QueryConfig): Promise<Cells[]> {
  return new Promise((resolve, reject) => {
    const query = new CellsQuery(statement);
    (on as unknown as TakesQueries).query(query, undefined, (error) =>
      error ? reject(error) : resolve(query.cells),
    );
  });
}

/**
 * The result goes back as pg gives it: pg-boss's supervision sends several statements in one text, whose result is an
 * array, and reads that itself. (With `{ rows }` alone it failed before it came to the expired jobs.)
 */
function queueDb(on: { query(text: string, values?: unknown[]): Promise<QueryResult> }): QueueDb {
  return { executeSql: (text, values) => on.query(text, values) };
}

/** One open transaction. Stages open it and pass it on as the first argument; none is open across the network. */
export class Tx {
  private onSent: (() => void) | null = null;
  private committed = false;

  constructor(
    private readonly client: PoolClient,
    private readonly ordinary: EntityManager | null,
    /** For what is sealed in the rows. */
    readonly vault: Vault,
    /** Whose rows it sees; undefined where row security asks for none. */
    private readonly setting?: string,
  ) {}

  /** For the ordinary tables. Same connection, same transaction; a hot transaction has none. */
  get manager(): EntityManager {
    if (!this.ordinary) throw new Error('Bug: a hot transaction has no entities');
    return this.ordinary;
  }

  /** For what must not depend on who asks, in the middle of a transaction that does: whether an id is taken by anybody. */
  async asSystem<T>(work: () => Promise<T>): Promise<T> {
    if (this.setting === undefined || this.setting === EVERY_SUBSCRIBER) return work();
    await this.run(setLocally(EVERY_SUBSCRIBER));
    const result = await work();
    // Not reached when the work fails: then the transaction ends.
    await this.run(setLocally(this.setting));
    return result;
  }

  get isCommitted(): boolean {
    return this.committed;
  }

  async query<T extends object = Row>(text: string, values: unknown[] = []): Promise<T[]> {
    return (await this.run(text, values)).rows as T[];
  }

  /** From here on no statement of this transaction takes longer. */
  async boundStatements(msMax: number): Promise<void> {
    await this.run(`SELECT set_config('statement_timeout', $1, true)`, [String(msMax)]);
  }

  /** A statement of the hot path: prepared once per connection under its name, so it is planned once. */
  async prepared<T extends object = Row>(name: string, text: string, values: unknown[]): Promise<T[]> {
    return (await this.run({ name, text, values })).rows as T[];
  }

  /** The same, for rows that are many or that nobody looks at. Not as a `work` of commitWith. */
  preparedCells(name: string, text: string, values: unknown[]): Promise<Cells[]> {
    return queryCells(this.client, { name, text, values });
  }

  /** As Database.together, which a transaction always is. */
  together<T>(work: (on: Pick<Tx, 'preparedCells'>) => Promise<T>): Promise<T> {
    return work(this);
  }

  /** As Database.list. What follows in this transaction is planned as it was before; when it fails nothing follows. */
  async list<T extends object = Row>(text: string, values: unknown[]): Promise<T[]> {
    await this.run(PLAN_AS_LIST);
    const { rows } = await this.run(text, values);
    await this.run(PLAN_AS_BEFORE);
    return rows as T[];
  }

  /**
   * Sends one statement after the other and then COMMIT, without waiting for any answer in between: what they lock is
   * locked only while the server works, not while this process comes round to send the next. (Measured: T1 and T2
   * waited 5 and 9 ms for each other's lanes.) Each `work` sends exactly one statement. For the end of a hot
   * transaction, when nothing depends on the answers.
   * @throws the first error; then nothing was committed
   */
  async commitWith(works: (() => Promise<unknown>)[]): Promise<void> {
    const { answers, commit } = await this.sendWithCommit(works);
    const outcomes = await Promise.allSettled([...answers, commit]);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
    const { command } = await commit;
    if (command !== 'COMMIT') throw new Error(`Bug: COMMIT was answered by ${command}`);
  }

  private async sendWithCommit(
    works: (() => Promise<unknown>)[],
  ): Promise<{ answers: Promise<unknown>[]; commit: Promise<QueryResult> }> {
    const answers: Promise<unknown>[] = [];
    const send = holdBack(this.client);
    try {
      for (const work of works) {
        const sent = new Promise<void>((resolve) => (this.onSent = resolve));
        const answer = work();
        // Told later, when the others have been waited for.
        answer.catch(() => undefined);
        answers.push(answer);
        // One that fails before it has sent anything ends it all here: without its statement nothing may be committed.
        await Promise.race([sent, answer]);
      }
      this.committed = true;
      return { answers, commit: this.run('COMMIT') };
    } finally {
      send();
    }
  }

  private run(config: string | QueryConfig, values?: unknown[]): Promise<QueryResult> {
    const result = this.client.query(config as string, values);
    this.onSent?.();
    this.onSent = null;
    return result;
  }
}

/**
 * Plans of the hot statements must not depend on statistics: every midnight they meet partitions that were never
 * analyzed, and a planner that takes an id for one of 200 values reads whole tables (measured: 7.4 ms instead of 0.5
 * to load 64 deliveries). Every hot statement looks up some ids by index, so those are the plans that are left. Nor is any of them
 * shared out: over forty days' partitions it looked worth it, and starting the helpers took 25 ms to load 64 deliveries in 0.2.
 */
const HOT_PLANNER =
  '-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_material=off -c plan_cache_mode=force_generic_plan -c max_parallel_workers_per_gather=0';
/**
 * Claiming reads the head of an ordered index. With fresh statistics missing the planner sorted all due tickets instead
 * (6 ms for 64 of 13,000; 2 this way). Only for claims: elsewhere small sorts are right.
 */
const CLAIM_PLANNER = `${HOT_PLANNER} -c enable_sort=off`;

/**
 * A list walks one index in its order, whatever the statistics say, so that it reads what it shows. (Measured on 1.5 million
 * deliveries: else it sorted all that matched, and went through everybody's rows for an endpoint that has a fortieth of them.)
 */
const LIST_PLANNER = {
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_sort: 'off',
  random_page_cost: '1',
};
const PLAN_AS_LIST = Object.entries(LIST_PLANNER)
  .map(([setting, value]) => `SET LOCAL ${setting} = ${value}`)
  .join('; ');
/** As the connection was opened with. */
const PLAN_AS_BEFORE = Object.keys(LIST_PLANNER)
  .map((setting) => `SET LOCAL ${setting} = DEFAULT`)
  .join('; ');

const IDLE_MS = 600_000;
// Twenty times what it takes on a busy machine.
const WARM_MS_MAX = 5_000;

/** The connections of this process: a pool for the hot path, one connection for claims, TypeORM's pool for the rest. */
export class Database {
  private readonly hotPool: Pool;
  private readonly claimPool: Pool;
  /** True for the api, whose role sees no row without a scope. */
  private readonly scoped: boolean;
  /** For what is sealed in the rows. */
  readonly vault: Vault;

  /** @param keyring what opens secrets; null for a command that needs none */
  constructor(
    private readonly dataSource: DataSource,
    private readonly random: Random = systemRandom,
    keyring: Keyring | null = null,
  ) {
    this.vault = new Vault(keyring);
    const { hot, claims } = shareOut((dataSource.options.extra as { poolMax: number }).poolMax);
    // Role and time zone are those of the ordinary pool.
    const { options, scoped = false } = dataSource.options.extra as PoolConfig & { scoped?: boolean };
    this.scoped = scoped;
    this.hotPool = this.poolWith({ options: `${HOT_PLANNER} ${options}`, max: hot, pipeline: true });
    this.claimPool = this.poolWith({ options: `${CLAIM_PLANNER} ${options}`, max: claims });
  }

  private poolWith(own: PoolConfig): Pool {
    const { url, applicationName, extra } = this.dataSource.options as {
      url: string;
      applicationName: string;
      extra: PoolConfig;
    };
    const pool = new pg.Pool({
      ...extra,
      // A new one plans every statement anew, 50 ms in all: those of a burst stay for the next.
      idleTimeoutMillis: IDLE_MS,
      connectionString: url,
      application_name: applicationName,
      ...own,
    });
    // An idle connection that breaks is replaced; without a listener it would end the process.
    pool.on('error', () => undefined);
    // One that breaks while a transaction holds it tells that twice: to the statement that waits, and as an event.
    pool.on('connect', (client) => client.on('error', () => undefined));
    return pool;
  }

  /**
   * For a process that starts: opens all connections of the hot path and has each plan what it will be asked, at once and before
   * anybody waits. Else one opens with each burst, and plans in the middle of it: measured in docs/adr/0014. That the database
   * is slow or refuses keeps nobody from starting; they plan when they are asked, then.
   */
  async warm(
    rehearse: (tx: Tx) => Promise<unknown>[],
    beside: () => Promise<unknown>,
    msMax = WARM_MS_MAX,
  ): Promise<void> {
    const connections = Array.from({ length: this.hotPool.options.max }, () =>
      // All of them are taken before the first is back. A transaction, because its statements go out in one piece.
      this.hotTransaction((tx) => Promise.all(rehearse(tx))),
    );
    const waited = new AbortController();
    await Promise.race([
      Promise.allSettled([...connections, beside()]),
      delay(msMax, undefined, { signal: waited.signal }).catch(() => undefined),
    ]);
    waited.abort();
  }

  private get pool(): Pool {
    return (this.dataSource.driver as unknown as { master: Pool }).master;
  }

  /** For pg-boss's own statements: supervision. */
  get queue(): QueueDb {
    return queueDb(this.pool);
  }

  /** For claiming tickets, and nothing else: see CLAIM_PLANNER. */
  get claims(): Pick<Pool, 'query'> {
    return this.claimPool;
  }

  /** For touching tickets. */
  get hotQueue(): QueueDb {
    return queueDb(this.hotPool);
  }

  /**
   * Runs `work` in one transaction and commits. A deadlock or serialization failure is run again, four times at most:
   * `work` must have no effect outside the transaction.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return again(() => this.once(work), this.random);
  }

  /** The same on a connection of the hot path, for T1 and T2: no entities, look-ups by index only. */
  hotTransaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return again(() => this.hotOnce(work), this.random);
  }

  private async once<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const runner = this.dataSource.createQueryRunner();
    try {
      const client = (await runner.connect()) as PoolClient;
      await runner.startTransaction();
      const setting = this.setting;
      if (setting !== undefined) await client.query(setLocally(setting));
      const result = await work(new Tx(client, runner.manager, this.vault, setting));
      await runner.commitTransaction();
      return result;
    } catch (error) {
      // After a broken connection there is nothing to roll back, and the first error is the one to tell.
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    } finally {
      await runner.release();
    }
  }

  private async hotOnce<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const client = await this.hotPool.connect();
    const setting = this.setting;
    const tx = new Tx(client, null, this.vault, setting);
    let broken = false;
    try {
      // Not waited for: the connection is in pipeline mode, so the first statements follow at once, and with it.
      process.nextTick(holdBack(client));
      const begun = client.query(beginWith(setting));
      begun.catch(() => undefined);
      const result = await work(tx);
      await begun;
      if (!tx.isCommitted) await client.query('COMMIT');
      return result;
    } catch (error) {
      // A connection that cannot even roll back is in an unknown state: it is closed, not reused.
      if (!tx.isCommitted) await client.query('ROLLBACK').catch(() => (broken = true));
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /** One statement on any connection. */
  async query<T extends object = Row>(text: string, values: unknown[] = []): Promise<T[]> {
    return (await this.single(this.pool, { text, values })).rows as T[];
  }

  /** One hot statement, prepared under its name once per connection. */
  async prepared<T extends object = Row>(name: string, text: string, values: unknown[]): Promise<T[]> {
    return (await this.single(this.hotPool, { name, text, values })).rows as T[];
  }

  /** The same, with its rows as they come. Where row security asks for nobody's scope: for workers. */
  preparedCells(name: string, text: string, values: unknown[]): Promise<Cells[]> {
    if (this.scoped) throw new Error('Bug: cells are read without a scope');
    return queryCells(this.hotPool, { name, text, values });
  }

  /**
   * Several statements on one connection, sent in one piece: one of the server's processes is woken for all of them. They run one
   * after the other, each for itself.
   */
  async together<T>(work: (on: Pick<Tx, 'preparedCells'>) => Promise<T>): Promise<T> {
    if (this.scoped) throw new Error('Bug: cells are read without a scope');
    const client = await this.hotPool.connect();
    let broken = true;
    try {
      process.nextTick(holdBack(client));
      const result = await work({
        preparedCells: (name, text, values) => queryCells(client, { name, text, values }),
      });
      broken = false;
      return result;
    } finally {
      client.release(broken);
    }
  }

  /** One statement of a list of the large tables: see LIST_PLANNER. Under no name: its plan has to know the values. */
  async list<T extends object = Row>(text: string, values: unknown[]): Promise<T[]> {
    // Sent whole, as `single` does, which takes a pool in pipeline mode: the api's are, and lists of others are rare.
    const pool = this.scoped ? this.pool : this.hotPool;
    return (await this.single(pool, { text, values }, `; ${PLAN_AS_LIST}`)).rows as T[];
  }

  /** Whose rows are asked for, where that matters; undefined outside every scope, where the api sees none. */
  private get setting(): string | undefined {
    return this.scoped ? currentSetting() : undefined;
  }

  /** With a scope it is a transaction of its own, sent whole: the connections of the api are in pipeline mode. */
  private async single(pool: Pool, statement: QueryConfig, planner = ''): Promise<QueryResult> {
    const setting = this.setting;
    if (setting === undefined && planner === '') return pool.query(statement);
    const client = await pool.connect();
    // One of TypeORM's pool, too, tells twice that it breaks, and there nobody listens while it is ours: that ends the process.
    if (client.listenerCount('error') === 0) client.on('error', () => undefined);
    let broken = false;
    try {
      const sent = [
        client.query(beginWith(setting) + planner),
        client.query(statement),
        client.query('COMMIT'),
      ];
      const [begun, answer, ended] = await Promise.allSettled(sent);
      // A connection that cannot even end its transaction is in an unknown state: it is closed, not reused.
      broken = ended.status === 'rejected';
      for (const each of [begun, answer, ended]) if (each.status === 'rejected') throw each.reason;
      return (answer as PromiseFulfilledResult<QueryResult>).value;
    } finally {
      client.release(broken);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.dataSource.destroy(), this.hotPool.end(), this.claimPool.end()]);
  }
}

/**
 * Keeps what is sent on a connection until the returned function is called, so that it goes out in one piece: each piece
 * wakes the server's process, and that was a fifth of what the api did to publish.
 */
function holdBack(client: PoolClient): () => void {
  const { stream } = (client as unknown as { connection: { stream: Duplex } }).connection;
  stream.cork();
  return () => stream.uncork();
}

function beginWith(setting: string | undefined): string {
  return setting === undefined ? 'BEGIN' : `BEGIN; ${setLocally(setting)}`;
}

// With 10, 20, 40 and 80 ms between them, give or take a half: who met in a deadlock should not meet again.
const TRIES_MAX = 5;
const AGAIN_AFTER_MS = 10;

async function again<T>(once: () => Promise<T>, random: Random): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await once();
    } catch (error) {
      if (tries >= TRIES_MAX || !isTransientConflict(error)) throw error;
    }
    await delay(AGAIN_AFTER_MS * 2 ** (tries - 1) * (0.5 + random.next()));
  }
}
