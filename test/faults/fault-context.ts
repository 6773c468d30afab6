import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom, type Random } from '@app/domain';
import { createClient, type PosthornClient } from '../support/client.js';
import { leaks } from '../support/leak-watch.js';
import {
  newAdminKey,
  startApi,
  startWorker,
  type Launch,
  type RunningProcess,
} from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { openTables, type Tables } from '../support/tables.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import type { Figures } from './fault-row.js';
import { makeScratch, OwnCluster, type SharedCluster } from './clusters.js';
import { PAYLOAD_MARK, Publishers, type PublisherOptions } from './publishers.js';
import { checkInvariants, type Expectations } from './invariants.js';

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** See failpoints.ts: `name` or `name:nth`. */
  readonly failpoint?: string;
  /** By way of a proxy, say. */
  readonly databaseUrl?: string;
  readonly launch?: Launch;
}

interface Started {
  readonly name: string;
  readonly process: RunningProcess;
  /** Its end is part of the plan. */
  mayEnd: boolean;
}

const ASK_AGAIN_MS = 50;

/** All that a row needs to start, hurt and judge a Posthorn of its own. Everything in it ends with close(). */
export class FaultContext {
  /** Repeats with the seed. */
  readonly random: Random;
  readonly adminKey = newAdminKey();
  /** For logs and other files of this row; removed with it. */
  directory = '';
  databaseUrl = '';
  /** As superuser, in the same database. */
  adminUrl = '';
  /** As superuser: it may look on when the application may no longer connect. */
  tables!: Tables;
  readonly receivers: Receiver[] = [];
  private ownCluster: OwnCluster | undefined;
  private apiClient: PosthornClient | undefined;
  private readonly started: Started[] = [];
  private readonly endings: (() => Promise<unknown>)[] = [];
  private closing: Promise<void> | undefined;

  constructor(
    readonly seed: number,
    readonly quick: boolean,
    readonly log: (line: string) => void,
  ) {
    this.random = seededRandom(seed);
    leaks.begin();
  }

  /** A database for this row: of the shared server, or on one of its own. */
  async open(shared: SharedCluster, cluster: 'own' | undefined): Promise<void> {
    this.directory = await this.own(
      () => makeScratch(),
      (path) => rm(path, { recursive: true, force: true }),
    );
    if (cluster === 'own') {
      this.ownCluster = await this.startCluster();
      this.databaseUrl = this.ownCluster.url;
      this.adminUrl = this.ownCluster.adminUrl;
    } else {
      const database = await this.own(
        () => shared.createDatabase(),
        (it) => it.drop(),
      );
      this.databaseUrl = database.url;
      this.adminUrl = database.adminUrl;
    }
    this.tables = await this.own(
      () => Promise.resolve(openTables(this.adminUrl)),
      (tables) => tables.close(),
    );
  }

  /** Only of a row with `cluster: 'own'`. */
  get cluster(): OwnCluster {
    if (!this.ownCluster) throw new Error(`Bug: this row shares its server; say cluster: 'own'`);
    return this.ownCluster;
  }

  /** Of the api that was started last. */
  get client(): PosthornClient {
    if (!this.apiClient) throw new Error('Bug: no api was started');
    return this.apiClient;
  }

  /** Another server with a migrated database, in a directory that the row prepared or in one of its own. */
  async startCluster(directory?: string): Promise<OwnCluster> {
    const place = directory ?? (await makeScratch());
    return this.own(
      () => OwnCluster.start(place),
      (cluster) => cluster.destroy(),
    );
  }

  async startApi(options: StartOptions = {}): Promise<RunningProcess> {
    const api = await this.startProcess('api', startApi, options);
    this.apiClient = createClient({ url: api.url, key: this.adminKey });
    return api;
  }

  startWorker(options: StartOptions = {}): Promise<RunningProcess> {
    return this.startProcess('worker', startWorker, options);
  }

  /** Its journal is among those that the invariants look into. */
  async startReceiver(): Promise<Receiver> {
    const receiver = await this.own(
      () => startReceiver({ seed: this.seed }),
      (it) => it.stop(),
    );
    this.receivers.push(receiver);
    return receiver;
  }

  /** A wire with weather to this row's database, or to a port. */
  startProxy(port = Number(new URL(this.databaseUrl).port)): Promise<TcpProxy> {
    return this.own(
      () => startTcpProxy(port),
      (proxy) => proxy.stop(),
    );
  }

  /** For loops that nobody waits for. */
  get isClosing(): boolean {
    return this.closing !== undefined;
  }

  /** Of every api and worker that runs. */
  pids(): number[] {
    return this.started.map(({ process }) => process.pid).filter(isRunning);
  }

  /** Kills it and waits for its end, which is then no failure of the row. */
  async kill(process: RunningProcess): Promise<void> {
    this.mayEnd(process);
    await process.stop('SIGKILL');
  }

  /** SIGTERM; answers how it ended. */
  async stop(process: RunningProcess): Promise<{ code: number | null; ms: number }> {
    this.mayEnd(process);
    const startedAt = performance.now();
    const { code } = await process.stop();
    return { code, ms: Math.round(performance.now() - startedAt) };
  }

  /** Its end is part of the plan, as with a failpoint. */
  mayEnd(process: RunningProcess): void {
    const found = this.started.find((each) => each.process === process);
    if (found) found.mayEnd = true;
  }

  /**
   * Lets the claims of workers that are dead run out now instead of after 12 s, for rows that are about something else.
   * Never while their owner lives: it would trust a claim that it has lost.
   */
  async expireClaims(): Promise<void> {
    await this.tables.rows(
      `UPDATE pgboss.job SET heartbeat_on = heartbeat_on - interval '1 minute' WHERE name = 'deliver' AND state = 'active'`,
    );
  }

  /** Publishers that go on until they are stopped, at the latest with the row. */
  startPublishers(options: Omit<PublisherOptions, 'client'> = {}): Publishers {
    const publishers = new Publishers({ client: () => this.client, ...options });
    this.endings.push(() => Promise.resolve(publishers.abandon()));
    return publishers;
  }

  /** One subscriber `c`, the event type `thing.happened`, and an endpoint for each URL. */
  async subscribe(
    urls: readonly (string | { url: string; [field: string]: unknown })[],
    subscriber = 'c',
  ): Promise<string[]> {
    await this.client.createSubscriber({ name: subscriber, externalId: subscriber });
    await this.client.request('POST', '/v1/event-types', { name: 'thing.happened' });
    const ids: string[] = [];
    for (const url of urls) {
      const endpoint = typeof url === 'string' ? { url } : url;
      ids.push((await this.client.createEndpoint(subscriber, endpoint)).id);
    }
    return ids;
  }

  /** Publishes `{"n":0,…}`, `{"n":1,…}`, … in one request for each thousand, and answers the events' ids. */
  async publishMany(count: number, subscriber = 'c', from = 0): Promise<string[]> {
    const ids: string[] = [];
    for (let at = from; at < from + count; at += 1000) {
      const events = Array.from({ length: Math.min(1000, from + count - at) }, (_, n) => ({
        subscriber,
        type: 'thing.happened',
        data: { n: at + n, mark: PAYLOAD_MARK },
      }));
      const { results } = await this.client.post<{ results: { id: string }[] }>('/v1/events/batch', {
        events,
      });
      ids.push(...results.map((result) => result.id));
    }
    return ids;
  }

  check(condition: boolean, message: string, seen?: unknown): void {
    if (!condition) throw new Error(seen === undefined ? message : `${message}: ${JSON.stringify(seen)}`);
  }

  /** Asks until the answer is true. */
  async until(what: string, ask: () => Promise<boolean> | boolean, timeoutMs = 15_000): Promise<void> {
    for (const deadline = performance.now() + timeoutMs; ; await delay(ASK_AGAIN_MS)) {
      if (this.closing) throw new Error('The row has ended');
      if (await ask()) return;
      if (performance.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    }
  }

  /** Until nothing is pending. */
  async settled(timeoutMs = 30_000): Promise<void> {
    await this.tables.until(
      `SELECT count(*) = 0 AS ok, count(*)::int AS pending, min(place) AS place FROM deliveries WHERE status = 'pending'`,
      [],
      timeoutMs,
    );
  }

  async metric(process: RunningProcess, name: string): Promise<number> {
    const text = await (await fetch(`${process.url}/metrics`, { signal: AbortSignal.timeout(5000) })).text();
    return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
  }

  /** Invariants by SQL and by the receivers' journals, `posthorn doctor`, and that no process died on its own. */
  async invariants(expectations: Expectations = {}): Promise<Figures> {
    const ended = this.started.filter(({ process, mayEnd }) => !mayEnd && !isRunning(process.pid));
    this.check(
      ended.length === 0,
      `${ended.map(({ name, process }) => `${name} (${process.pid})`).join(', ')} did not survive`,
    );
    return checkInvariants(this, expectations);
  }

  /** @throws when a secret of this row stands in a log, an answer, a table, a metric. The end of every row. */
  async nothingLeaked(): Promise<void> {
    const alive = this.started.map(({ process }) => process).filter(({ pid }) => isRunning(pid));
    await leaks.inspect(alive, this.adminKey);
    await leaks.database(this.adminUrl);
    await leaks.verdict();
  }

  /** Last words of the processes of this row, for who has to find out why it failed. */
  async lastWords(lines = 15): Promise<string> {
    const words: string[] = [];
    for (const { name, process } of this.started) {
      const log = (await process.logs().catch(() => '')).trim();
      if (log !== '') words.push(`── ${name} (${process.pid})`, ...log.split('\n').slice(-lines));
    }
    return words.map((line) => line.slice(0, 500)).join('\n');
  }

  /** Starts something that ends with the row, also when the row ends in the middle of its start. */
  async own<T>(start: () => Promise<T>, end: (thing: T) => Promise<unknown>): Promise<T> {
    if (this.closing) throw new Error('The row has ended');
    const starting = start();
    this.endings.push(() =>
      starting.then(end, () => undefined).catch((error: unknown) => this.log(String(error))),
    );
    return starting;
  }

  /** Safe at any moment; the last started ends first. */
  close(): Promise<void> {
    return (this.closing ??= this.endAll());
  }

  private async endAll(): Promise<void> {
    for (let end = this.endings.pop(); end !== undefined; end = this.endings.pop()) await end();
  }

  private async startProcess(
    name: string,
    start: typeof startApi,
    { env, failpoint, databaseUrl = this.databaseUrl, launch }: StartOptions,
  ): Promise<RunningProcess> {
    const number = this.started.filter((each) => each.name.startsWith(name)).length + 1;
    const settings = {
      POSTHORN_ADMIN_KEY: this.adminKey,
      LOG_LEVEL: 'warn',
      DANGEROUS_ALLOW_LOSSY_DATABASE: 'false',
      ...(failpoint === undefined ? {} : { FAILPOINT: failpoint }),
      ...env,
    };
    const preload = [
      ...(failpoint === undefined ? [] : ['test/faults/failpoints.js']),
      ...(launch?.preload ?? []),
    ];
    const running = await this.own(
      () =>
        start({
          databaseUrl,
          env: settings,
          logFile: join(this.directory, `${name}-${number}.log`),
          launch: { ...launch, preload },
        }),
      // A frozen one takes SIGKILL too.
      (it) => it.stop('SIGKILL'),
    );
    this.started.push({ name: `${name}-${number}`, process: running, mayEnd: failpoint !== undefined });
    return running;
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
