import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { egressProxyOf, urlPolicyOf, type Config } from '@app/config';
import type { DueNotice } from '@app/contracts';
import {
  AttemptDelivery,
  CountAttempts,
  HttpSender,
  type HttpSenderOptions,
  KeepLanes,
  LaneSignals,
  RateSlots,
  RecordOutcomes,
  Successors,
} from '@app/delivery';
import { systemClock, systemRandom } from '@app/domain';
import { Maintenance, type Logger, type Metrics } from '@app/observability';
import {
  accessTokensRepository,
  ApiKeysRepository,
  auditRepository,
  DatabaseClock,
  PumpRepository,
  idempotencyRepository,
  partitionsRepository,
  type Database,
  endpointSecretsRepository,
  laneStateRepository,
  rateRepository,
  rehearseDelivering,
  requestLimitsRepository,
  replaysRepository,
  statsRepository,
} from '@app/persistence';
import { DeliverQueue, DueListener } from '@app/queue';
import { ReplayRunner } from '@app/console';
import { AcceptEvents, PublishNotices } from '@app/ingest';
import { Pump } from './pump.js';

// What is under way may finish; the rest of the 20 seconds is for writing it down.
const GRACE_MS = 15_000;
// As doctor has it: more is nobody's network.
const SKEW_SECONDS_MAX = 2;
const ASK_AGAIN_MS = 500;
const ANY_LANE = '*';
const LANES_AT_ONCE = 100;

/** What a test may put in place of the real thing, under the guard: it sees each name that is asked for and each socket. */
export type WorkerOverrides = Pick<HttpSenderOptions, 'resolver' | 'sockets'>;

/** The worker without its process: the pump, the recorder and the loops, wired. */
export class Worker {
  private readonly queue: DeliverQueue;
  private readonly sender: HttpSender;
  private readonly clock: DatabaseClock;
  private measuring: Promise<number> | null = null;
  /** Lanes that somebody said may promote, and whether some others may. */
  private readonly noticed = new Set<string>();
  private promoting = false;
  private readonly counts: CountAttempts;
  private readonly recorder: RecordOutcomes;
  private readonly pump: Pump;
  private readonly listener: DueListener;
  private readonly maintenance: Maintenance;

  constructor(
    config: Config & { DATABASE_URL: string },
    version: string,
    database: Database,
    private readonly metrics: Metrics,
    private readonly logger: Logger,
    overrides: WorkerOverrides = {},
  ) {
    this.clock = new DatabaseClock(database, systemClock, () => performance.now());
    this.queue = new DeliverQueue(database, {
      supervise: true,
      on: (kind, detail) => logger.warn(kind === 'error' ? { err: detail } : { detail }, 'queue.warning'),
    });
    this.sender = new HttpSender({
      policy: urlPolicyOf(config),
      proxy: egressProxyOf(config),
      // As many as may go to one host: a request in line would be dialled when its time is over.
      connectionsPerOriginMax: config.WORKER_CONCURRENCY,
      ...overrides,
    });
    const attempts = new AttemptDelivery(this.sender, this.clock, systemRandom, {
      userAgent: `Posthorn/${version}`,
      origin: config.POSTHORN_ORIGIN,
      onBroken: (error) => logger.error({ err: error }, 'attempt.broken'),
    });
    this.counts = new CountAttempts(database);
    const operational = config.POSTHORN_OPERATIONAL_SUBSCRIBER !== '';
    const signals = new LaneSignals(database, systemRandom, metrics, logger, { operational });
    const successors = new Successors(() => performance.now());
    this.recorder = new RecordOutcomes(
      database,
      this.queue,
      signals,
      this.counts,
      systemRandom,
      metrics,
      logger,
      (ids, madeWork) => this.pump.recorded(ids, madeWork),
      { successors, takeOn: (promote) => this.pump.takeOn(promote) },
    );
    this.pump = new Pump(
      this.queue,
      new PumpRepository(database),
      attempts,
      new RateSlots(database),
      this.recorder,
      metrics,
      logger,
      this.clock,
      {
        concurrency: config.WORKER_CONCURRENCY,
        concurrencyPerEndpoint: config.WORKER_CONCURRENCY_PER_ENDPOINT,
        concurrencyPerHost: config.WORKER_CONCURRENCY_PER_HOST,
        tellsFailures: operational,
        clockIsInDoubt: () => this.clockIsInDoubt(),
        monotonic: () => performance.now(),
        successors,
        worker: `${hostname()}:${process.pid}`,
      },
    );
    const lanes = new KeepLanes(database, this.queue, this.clock, systemRandom, metrics, logger, {
      operational,
    });
    this.listener = new DueListener(
      config.DATABASE_URL,
      (notice) => this.onNotice(notice, lanes),
      (error) => logger.warn({ err: error }, 'listen.lost'),
    );
    const replays = new ReplayRunner(database, this.queue);
    const accept = new AcceptEvents(database, this.queue, this.clock, systemRandom, metrics, {
      autoCreateEventTypes: false,
      backlogPerSubscriberMax: config.POSTHORN_BACKLOG_PER_SUBSCRIBER_MAX,
    });
    const notices = new PublishNotices(database, accept, metrics, logger, {
      operationalSubscriber: config.POSTHORN_OPERATIONAL_SUBSCRIBER,
    });
    this.maintenance = new Maintenance(
      [
        { name: 'cancel-stopped', everyMs: 1000, runOnce: () => lanes.cancelStopped() },
        { name: 'cancel-long-stopped', everyMs: 300_000, runOnce: () => lanes.cancelLongStopped() },
        { name: 'promote-stalled', everyMs: 1000, runOnce: () => lanes.promoteStalled(this.pump.served) },
        { name: 'clock', everyMs: 10_000, runOnce: () => this.measureClock() },
        { name: 'probes', everyMs: 500, runOnce: () => lanes.sendProbes() },
        { name: 'sideline', everyMs: 1000, runOnce: () => lanes.sideline(this.pump.hanging()) },
        { name: 'expire-held', everyMs: 60_000, runOnce: () => lanes.expireHeld() },
        { name: 'free-keys', everyMs: 60_000, runOnce: () => lanes.freeKeys() },
        {
          name: 'rate-slots',
          everyMs: 3_600_000,
          runOnce: () => rateRepository.deleteUnused(database, 5000),
        },
        {
          name: 'request-windows',
          everyMs: 60_000,
          runOnce: () => requestLimitsRepository.deleteEnded(database, 5000),
        },
        {
          name: 'lane-transitions',
          everyMs: 600_000,
          runOnce: () => laneStateRepository.deleteOldTransitions(database, config.RETENTION_DAYS, 5000),
        },
        { name: 'notices', everyMs: 1000, runOnce: () => notices.runOnce() },
        { name: 'stats', everyMs: 5000, runOnce: () => this.counts.write() },
        { name: 'old-stats', everyMs: 600_000, runOnce: () => statsRepository.deleteOld(database, 2, 5000) },
        { name: 'replays', everyMs: 1000, runOnce: async () => ((await replays.runOnce()) ? 1 : 0) },
        { name: 'measure', everyMs: 10_000, runOnce: () => lanes.measure() },
        { name: 'reconcile', everyMs: 60_000, runOnce: () => lanes.reconcile() },
        { name: 'restore-tickets', everyMs: 60_000, runOnce: () => lanes.restoreTickets() },
        {
          name: 'partitions',
          everyMs: 600_000,
          atOnce: true,
          runOnce: () => partitionsRepository.createAhead(database),
        },
        {
          name: 'retention',
          everyMs: 600_000,
          runOnce: async () =>
            (await partitionsRepository.dropOldest(database, config.RETENTION_DAYS)).length,
        },
        {
          name: 'expired-secrets',
          everyMs: 600_000,
          runOnce: () => endpointSecretsRepository.deleteExpired(database),
        },
        {
          name: 'ended-tokens',
          everyMs: 600_000,
          runOnce: () => accessTokensRepository.deleteEnded(database, 5000),
        },
        {
          name: 'ended-keys',
          everyMs: 3_600_000,
          runOnce: () => new ApiKeysRepository(database).deleteEnded(config.AUDIT_RETENTION_DAYS, 1000),
        },
        {
          name: 'audit-retention',
          everyMs: 3_600_000,
          runOnce: () => auditRepository.deleteOld(database, config.AUDIT_RETENTION_DAYS, 5000),
        },
        {
          name: 'ended-replays',
          everyMs: 3_600_000,
          runOnce: () => replaysRepository.deleteEnded(database, config.RETENTION_DAYS),
        },
        {
          name: 'idempotency-keys',
          everyMs: 60_000,
          runOnce: () => idempotencyRepository.deleteExpired(database, 5000),
        },
      ],
      systemRandom,
      metrics,
      logger,
    );
  }

  /** Nothing can be done before; a database that goes away just now comes back. */
  private async learnTheTime(): Promise<void> {
    for (;;)
      try {
        await this.measureClock();
        return;
      } catch (error) {
        this.logger.warn({ err: error, loop: 'clock' }, 'maintenance.failed');
        await delay(ASK_AGAIN_MS);
      }
  }

  private clockIsInDoubt(): boolean {
    if (!this.clock.isInDoubt()) return false;
    this.measuring ??= this.measureClock()
      .catch(() => 0)
      .finally(() => (this.measuring = null));
    return true;
  }

  private async measureClock(): Promise<number> {
    const seconds = await this.clock.measure();
    this.metrics.clockSkewSeconds.set(seconds);
    if (Math.abs(seconds) > SKEW_SECONDS_MAX)
      this.logger.warn({ seconds: Math.round(seconds) }, 'clock.skewed');
    return 0;
  }

  /** Something is due, or a lane may promote: the loops would find it too, a little later. */
  private onNotice(notice: DueNotice, lanes: KeepLanes): void {
    this.pump.wake(notice === 'firsts' ? 'firsts' : 'all');
    if (notice === 'tickets' || notice === 'firsts') return;
    if (notice === 'lanes') this.noticed.add(ANY_LANE);
    else for (const endpointId of notice.endpointIds) this.noticed.add(endpointId);
    void this.promoteNoticed(lanes);
  }

  /** One promotion at a time: what is said meanwhile is gathered for the next. */
  private async promoteNoticed(lanes: KeepLanes): Promise<void> {
    if (this.promoting) return;
    this.promoting = true;
    while (this.noticed.size > 0) {
      const some = [...this.noticed].slice(0, LANES_AT_ONCE);
      for (const each of some) this.noticed.delete(each);
      const endpointIds = some.filter((each) => each !== ANY_LANE);
      try {
        if (endpointIds.length < some.length) await lanes.promoteStalled();
        if (endpointIds.length > 0) await lanes.promote(endpointIds);
      } catch (error) {
        this.logger.warn({ err: error, lanes: some.length }, 'promotion.failed');
      }
    }
    this.promoting = false;
  }

  async start(): Promise<void> {
    await this.learnTheTime();
    await Promise.all([this.queue.start(), this.queue.warm(rehearseDelivering, { claims: true })]);
    this.pump.start();
    this.listener.start();
    this.maintenance.start();
  }

  /** Finishes or gives back what is under way, within 20 s. */
  async stop(): Promise<void> {
    await this.listener.stop();
    await this.pump.stop(GRACE_MS);
    this.sender.destroy();
    await this.pump.finish();
    await this.recorder.drain();
    await this.maintenance.stop();
    await this.counts.write().catch(() => undefined);
    await this.queue.stop();
  }
}
