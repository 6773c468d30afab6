import { join } from 'node:path';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../libs/embedded-postgres/src/index.js';
import { forkCallable, type CallableChild } from '../support/child.js';
import { createClient } from '../support/client.js';
import {
  migrateDatabase,
  newAdminKey,
  startApi,
  startWorker,
  type RunningProcess,
} from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import {
  allSessionsEnded,
  ask,
  costBetween,
  costliestStatements,
  COUNTING,
  databaseUsage,
  startCounting,
  type Cost,
  type Usage,
} from './cost.js';
import { cpuMsOf, residentBytes } from './cpu-time.js';
import type { LoadCalls } from './load/load.main.js';
import type { ApiTarget, Refusals } from './load/target.js';
import type { BenchOptions } from './options.js';
import { EVENT_TYPE } from './payload.js';
import { destroyScratch, makeScratch } from './scratch.js';
import { sharedServer } from './shared-server.js';

const LIMIT_WARMUP_SECONDS = 1;
const SMOKE_LIMIT_SECONDS = 0.3;

/** The processes that one scenario needs, each started when it is first asked for and all ended by close(). */
export class Rig {
  receiver!: Receiver;
  load!: CallableChild<LoadCalls>;
  /** Requests per second of the bare loop. */
  limit = 0;
  limitSpread = 0;
  cluster: EmbeddedPostgres | undefined;
  private apis: RunningProcess[] = [];
  private workers: RunningProcess[] = [];
  private stopMode: 'fast' | 'immediate' = 'immediate';
  private readonly stopped = new Set<EmbeddedPostgres>();
  /** Of workers that were stopped. */
  private endedWorkersCpuMs = 0;
  private usageBefore: Usage | undefined;
  private readonly mayEnd = new Set<RunningProcess>();
  private directory = '';
  private database = 'posthorn';
  private readonly adminKey = newAdminKey();
  private readonly endings: (() => Promise<unknown>)[] = [];
  private readonly ended: Promise<never>[] = [];
  private closing: Promise<void> | undefined;

  constructor(
    private readonly options: BenchOptions,
    readonly log: (line: string) => void,
  ) {}

  get smoke(): boolean {
    return this.options.smoke;
  }

  /** Receiver and load generator, and what they can do with nothing between them. */
  async measureLimit(): Promise<void> {
    this.receiver = await this.own(
      () => startReceiver({ mode: 'count' }),
      (receiver) => receiver.stop(),
    );
    this.load = await this.own(
      () => forkCallable<LoadCalls>('test/bench/load/load.main.js'),
      (load) => load.stop(),
    );
    const { connections, smoke } = this.options;
    const seconds = smoke ? SMOKE_LIMIT_SECONDS : this.options.limitSeconds;
    const warmupSeconds = smoke ? 0 : LIMIT_WARMUP_SECONDS;
    this.log(`limit: ${connections} connections sign and post for ${seconds} s`);
    const url = this.receiver.url('/ok');
    const input = { url, connections, warmupSeconds, seconds };
    const { perSecond, spread, sent, failed } = await this.load.call(
      'postSigned',
      input,
      (seconds + 20) * 1000,
    );
    const { distinct } = await this.receiver.counts();
    if (failed > 0 || distinct !== sent)
      throw new Error(`The bare loop sent ${sent}, ${failed} failed, ${distinct} came in`);
    await this.receiver.reset();
    this.limit = perSecond;
    this.limitSpread = spread;
  }

  /** A durable, migrated PostgreSQL, empty or with a history, an api on it, and subscribers with an endpoint each. No worker. */
  async startProduct(history?: string): Promise<ApiTarget> {
    this.log('starting PostgreSQL, migrations and the api');
    this.directory = await this.own(() => makeScratch(this.options.dir), destroyScratch);
    // A history is kept: it is to find itself in order next time.
    const mode = history === undefined ? 'immediate' : 'fast';
    if (this.options.smoke && history === undefined) {
      const shared = await sharedServer(this.options, this.log);
      [this.cluster, this.database] = [shared.cluster, await shared.newDatabase()];
      // Not ours to stop.
      this.stopped.add(this.cluster);
    } else {
      const dataDir = history ?? this.directory;
      this.cluster = await this.own(
        () => startEmbeddedPostgres({ dataDir, durable: true, settings: COUNTING, log: this.log }),
        (cluster) => this.stopCluster(cluster, mode),
      );
      this.database = 'posthorn';
      await migrateDatabase(this.cluster.url());
    }
    this.stopMode = mode;
    if (history !== undefined) await this.tidy();
    await startCounting(this.databaseUrl);
    const api = await this.startProcess('api', startApi);
    this.apis = [api];
    const client = createClient({ url: api.url, key: this.adminKey });
    const known = await client.request('GET', `/v1/event-types/${EVENT_TYPE}`);
    if (known.status === 404) await client.createEventType(EVENT_TYPE);
    const subscribers = await this.subscribe(api.url, this.options.endpoints, (n) =>
      this.receiver.url(`/ok/${n}`, n),
    );
    this.endedWorkersCpuMs = 0;
    this.usageBefore = await this.usage();
    return { url: api.url, key: this.adminKey, subscribers };
  }

  /** Ends api, workers and PostgreSQL: another product may be started. */
  async endProduct(): Promise<void> {
    await this.stop([...this.apis, ...this.workers], this.options.profile === null ? 'SIGKILL' : 'SIGTERM');
    [this.apis, this.workers] = [[], []];
    await this.stopCluster(this.cluster!, this.stopMode);
  }

  async startWorkers(count = this.options.workers): Promise<void> {
    this.log(`starting ${count} worker(s)`);
    const workers = Array.from({ length: count }, (_, i) =>
      this.startProcess(`worker-${i + 1}`, startWorker),
    );
    this.workers = await Promise.all(workers);
  }

  /** Ends the workers as an operator would; what they have in hand is finished or given back. */
  async stopWorkers(): Promise<void> {
    this.log('stopping the worker(s)');
    this.endedWorkersCpuMs += (await cpuMsOf(this.workers.map(({ pid }) => pid))) ?? 0;
    await this.stop(this.workers, 'SIGTERM');
    this.workers = [];
  }

  /** What the product has used so far. Rows are late by up to 10 s while a session idles. */
  async usage(): Promise<Usage> {
    const pids = (running: RunningProcess[]) => running.map(({ pid }) => pid);
    const [apiCpuMs, workers, postgresCpuMs] = await Promise.all([
      cpuMsOf(pids(this.apis)),
      cpuMsOf(pids(this.workers)),
      cpuMsOf([this.cluster!.pid]),
    ]);
    const workerCpuMs = workers === null ? null : workers + this.endedWorkersCpuMs;
    return { apiCpuMs, workerCpuMs, postgresCpuMs, ...(await databaseUsage(this.databaseUrl)) };
  }

  /** What so many deliveries cost since startProduct. Ends api and workers, so that their sessions hand in what they wrote. */
  async endAndCost(deliveries: number): Promise<Cost> {
    const used = await this.usage();
    await this.stop([...this.apis, ...this.workers], this.options.profile === null ? 'SIGKILL' : 'SIGTERM');
    await allSessionsEnded(this.databaseUrl);
    const { rowsWritten, transactions } = await databaseUsage(this.databaseUrl);
    if (this.options.top > 0) {
      for (const line of await costliestStatements(this.databaseUrl, this.options.top)) this.log(line);
    }
    return costBetween(this.usageBefore!, { ...used, rowsWritten, transactions }, deliveries);
  }

  /** What a long run may see grow. */
  async health(): Promise<Health> {
    const [{ apiBytes, workerBytes }, api, worker, [row]] = await Promise.all([
      this.memory(),
      this.metrics(this.apis[0]),
      this.metrics(this.workers[0]),
      this.query('SELECT coalesce(sum(n_dead_tup), 0) AS dead FROM pg_stat_user_tables'),
    ]);
    const lagMs = (metrics: string) => (metric(metrics, 'nodejs_eventloop_lag_p99_seconds') ?? 0) * 1000;
    return {
      apiRssMb: apiBytes / 1e6,
      workerRssMb: workerBytes / 1e6,
      deadTuples: Number(row['dead']),
      oldestDueSeconds: metric(worker, 'posthorn_oldest_due_seconds') ?? 0,
      apiLagP99Ms: lagMs(api),
      workerLagP99Ms: lagMs(worker),
    };
  }

  /** Resident memory; of several workers the largest. */
  async memory(): Promise<{ apiBytes: number; workerBytes: number }> {
    const most = async (running: RunningProcess[]) =>
      Math.max(0, ...(await Promise.all(running.map(({ pid }) => residentBytes(pid)))));
    return { apiBytes: await most(this.apis), workerBytes: await most(this.workers) };
  }

  async storedDeliveries(): Promise<{ total: number; pending: number }> {
    const [row] = await this.query(
      "SELECT count(*) AS total, count(*) FILTER (WHERE status = 'pending') AS pending FROM deliveries",
    );
    return { total: Number(row['total']), pending: Number(row['pending']) };
  }

  /** Away with what runs before left dead in a history: no server of theirs was up for long enough for autovacuum to come. */
  private async tidy(): Promise<void> {
    const tables = await this.query(
      'SELECT relid::regclass AS name FROM pg_stat_user_tables WHERE n_dead_tup > 1000 ORDER BY relid',
    );
    if (tables.length > 0) await this.query(`VACUUM ${tables.map(({ name }) => name).join(', ')}`);
  }

  /** As superuser: to look at what the product made, never to make it. */
  async query(sql: string): Promise<Record<string, string>[]> {
    return ask<Record<string, string>>(this.databaseUrl, sql);
  }

  private async metrics({ url }: RunningProcess): Promise<string> {
    const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${this.adminKey}` } });
    if (!answer.ok) throw new Error(`${url}/metrics answered ${answer.status}`);
    return answer.text();
  }

  private async stopCluster(cluster: EmbeddedPostgres, mode: 'fast' | 'immediate'): Promise<void> {
    if (this.stopped.has(cluster)) return;
    this.stopped.add(cluster);
    await cluster.stop(mode);
  }

  private async stop(running: RunningProcess[], signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    for (const each of running) this.mayEnd.add(each);
    await Promise.all(running.map((each) => each.stop(signal)));
  }

  /** Of the superuser, in the product's database. */
  private get databaseUrl(): string {
    return this.cluster!.adminUrl(this.database);
  }

  /** A receiver beside the one that is measured, for endpoints that misbehave. */
  startSecondReceiver(): Promise<Receiver> {
    return this.own(
      () => startReceiver({ mode: 'count' }),
      (receiver) => receiver.stop(),
    );
  }

  /** The wait, unless a process of the product ends meanwhile: then nobody need wait for the rest. */
  whileRunning<T>(wait: Promise<T>): Promise<T> {
    return Promise.race([wait, ...this.ended]);
  }

  /** A refused event means that something else was measured than what the scenario says. */
  refuseRefusals(refusals: Refusals): void {
    const reasons = Object.entries(refusals).map(([reason, count]) => `${count} × ${reason}`);
    if (reasons.length > 0) throw new Error(`The api did not accept all events:\n${reasons.join('\n')}`);
  }

  /** Safe at any moment, also in the middle of a start: what is still starting is waited for, then ended. */
  close(): Promise<void> {
    return (this.closing ??= this.endAll());
  }

  private async endAll(): Promise<void> {
    for (let end = this.endings.pop(); end !== undefined; end = this.endings.pop()) await end();
  }

  private async own<T>(start: () => Promise<T>, end: (thing: T) => Promise<unknown>): Promise<T> {
    if (this.closing) throw new Error('The bench is ending');
    const starting = start();
    this.endings.push(() => starting.then(end).catch((error: unknown) => this.log(String(error))));
    return starting;
  }

  private async startProcess(name: string, start: typeof startApi): Promise<RunningProcess> {
    const logFile = join(this.directory, `${name}.log`);
    const env = {
      POSTHORN_ADMIN_KEY: this.adminKey,
      LOG_LEVEL: this.options.logLevel,
      DANGEROUS_ALLOW_LOSSY_DATABASE: 'false',
      // A kept history gets older; retention must not take it away while it is measured.
      RETENTION_DAYS: '3650',
      // Tests keep compiled code, for their many starts, and 12 MB of it in memory. Operators do not.
      ...(this.options.smoke ? {} : { NODE_COMPILE_CACHE: '' }),
    };
    const { profile } = this.options;
    const profiling = [
      `--cpu-prof`,
      `--cpu-prof-dir=${profile}`,
      `--cpu-prof-name=${name}-\${pid}.cpuprofile`,
    ];
    const launch = profile === null ? {} : { nodeOptions: profiling };
    // Killed, not drained: its database is thrown away with it. A profile is written at an orderly end.
    const running = await this.own(
      () => start({ databaseUrl: this.cluster!.url(this.database), env, logFile, launch }),
      (it) => it.stop(profile === null ? 'SIGKILL' : 'SIGTERM'),
    );
    const ended = running.exited.then(async ({ code, signal }): Promise<never> => {
      if (this.mayEnd.has(running)) return new Promise<never>(() => undefined);
      throw new Error(
        `${name} ended with ${signal ?? code} in the middle of the run:\n${await running.logs()}`,
      );
    });
    // Nobody may be waiting when close() ends it.
    ended.catch(() => {});
    this.ended.push(ended);
    return running;
  }

  /** So many subscribers with an endpoint each. */
  async subscribe(apiUrl: string, count: number, url: (n: number) => string): Promise<string[]> {
    const client = createClient({ url: apiUrl, key: this.adminKey });
    const subscribers: string[] = [];
    for (let i = 0; i < count; i++) {
      const { id } = await client.createSubscriber({ name: `Bench ${i}` });
      await client.createEndpoint(id, { url: url(i), eventTypes: [EVENT_TYPE] });
      subscribers.push(id);
    }
    return subscribers;
  }

  /** One subscriber with so many endpoints. */
  async subscribeOne(apiUrl: string, endpoints: number, url: (n: number) => string): Promise<string> {
    const client = createClient({ url: apiUrl, key: this.adminKey });
    const { id } = await client.createSubscriber({ name: 'Bench' });
    for (let i = 0; i < endpoints; i++) {
      await client.createEndpoint(id, { url: url(i), eventTypes: [EVENT_TYPE] });
    }
    return id;
  }
}

export interface Health {
  readonly apiRssMb: number;
  readonly workerRssMb: number;
  readonly deadTuples: number;
  readonly oldestDueSeconds: number;
  readonly apiLagP99Ms: number;
  readonly workerLagP99Ms: number;
}

/** A sample without labels, or the first with some. */
function metric(text: string, name: string): number | null {
  const line = text.split('\n').find((each) => each.startsWith(`${name} `) || each.startsWith(`${name}{`));
  return line === undefined ? null : Number(line.slice(line.lastIndexOf(' ') + 1));
}
