import {
  AttemptDelivery,
  CountAttempts,
  HttpSender,
  KeepLanes,
  LaneSignals,
  RateSlots,
  RecordOutcomes,
  Successors,
} from '@app/delivery';
import { parseCidrs, PUBLIC_ONLY, systemClock, systemRandom } from '@app/domain';
import { AcceptEvents } from '@app/ingest';
import { Metrics, createLogger } from '@app/observability';
import { PumpRepository, type Database } from '@app/persistence';
import { DeliverQueue, DueListener } from '@app/queue';
import { Pump } from '../../apps/worker/src/pump.js';

/** The road in this process: accept, pump, attempt, record, on a real database and real HTTP. */
export interface Pipeline {
  accept: AcceptEvents;
  queue: DeliverQueue;
  metrics: Metrics;
  /** The loops, to be run by hand. */
  lanes: KeepLanes;
  /** Endpoints that have more due than this worker's pump may start. */
  hanging(): string[];
  startPump(options?: {
    concurrency?: number;
    concurrencyPerEndpoint?: number;
    clockIsInDoubt?: () => boolean;
    /** What slots and budgets are kept by. */
    monotonic?: () => number;
  }): Promise<void>;
  stop(): Promise<void>;
}

export async function startPipeline(
  database: Database,
  url: string,
  options: {
    autoCreate?: boolean;
    /** The operator is told of failures. */
    operational?: boolean;
    /** As attempts name it. */
    worker?: string;
    backlogPerSubscriberMax?: number;
    /** Of how long publishers wait. */
    monotonic?: () => number;
  } = {},
): Promise<Pipeline> {
  const metrics = new Metrics();
  const logger = createLogger({ level: process.env.TEST_LOG_LEVEL ?? 'silent', process: 'test' });
  const queue = new DeliverQueue(database, { supervise: false, on: () => undefined });
  await queue.start();
  const accept = new AcceptEvents(database, queue, systemClock, systemRandom, metrics, {
    autoCreateEventTypes: options.autoCreate ?? false,
    backlogPerSubscriberMax: options.backlogPerSubscriberMax ?? 2_000_000,
    monotonic: options.monotonic,
  });
  const sender = new HttpSender({
    policy: { addresses: { ...PUBLIC_ONLY, allow: parseCidrs('127.0.0.0/8') }, hosts: [], http: false },
  });
  let pump: Pump | undefined;
  const signals = new LaneSignals(database, systemRandom, metrics, logger, {
    operational: options.operational ?? false,
  });
  const successors = new Successors(() => performance.now());
  const recorder = new RecordOutcomes(
    database,
    queue,
    signals,
    new CountAttempts(database),
    systemRandom,
    metrics,
    logger,
    (ids, madeWork) => pump!.recorded(ids, madeWork),
    { successors, takeOn: (promote) => pump!.takeOn(promote) },
  );
  const lanes = new KeepLanes(database, queue, systemClock, systemRandom, metrics, logger);
  // As a worker does: woken, and what was named has its turns given at once.
  const listener = new DueListener(
    url,
    (notice) => {
      pump?.wake(notice === 'firsts' ? 'firsts' : 'all');
      if (typeof notice === 'object')
        lanes
          .promote([...notice.endpointIds])
          .catch((error: unknown) => logger.warn({ err: error }, 'promotion.failed'));
    },
    () => undefined,
  );
  return {
    accept,
    queue,
    metrics,
    lanes,
    hanging: () => pump?.hanging() ?? [],
    async startPump({
      concurrency = 64,
      concurrencyPerEndpoint = 16,
      clockIsInDoubt = () => false,
      monotonic = () => performance.now(),
    } = {}) {
      const attempts = new AttemptDelivery(sender, systemClock, systemRandom, { userAgent: 'Posthorn/test' });
      const rates = new RateSlots(database);
      const rows = new PumpRepository(database);
      pump = new Pump(queue, rows, attempts, rates, recorder, metrics, logger, systemClock, {
        concurrency,
        concurrencyPerEndpoint,
        concurrencyPerHost: concurrency,
        tellsFailures: options.operational ?? false,
        clockIsInDoubt,
        monotonic,
        successors,
        worker: options.worker ?? 'test:1',
      });
      pump.start();
      listener.start();
    },
    async stop() {
      await listener.stop();
      await pump?.stop(2000);
      sender.destroy();
      await pump?.finish();
      await recorder.drain();
      await queue.stop();
    },
  };
}
