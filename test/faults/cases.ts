import type { FailureClass } from '@app/domain';
import type { FaultContext } from './fault-context.js';

/** One receiver, and what must be on record about it. */
export interface Case {
  readonly url: string;
  /** Of every attempt; null: delivered. */
  readonly failure: FailureClass | null;
  /** Of every attempt; null: no answer was understood. */
  readonly statusCode?: number | null;
  /** Of each delivery. Default: 1 when the failure is for good or there is none, else 2 (the policy below). */
  readonly attempts?: number;
  /** Of every attempt, by the times the API shows. */
  readonly tookMs?: readonly [min: number, max: number];
  /** What the attempt's note says; absent: there is none. */
  readonly note?: RegExp;
  /** Fields of the endpoint, beside its URL. */
  readonly endpoint?: Readonly<Record<string, unknown>>;
}

export type Cases = Readonly<Record<string, Case>>;

export interface ShownAttempt {
  readonly n: number;
  readonly status: string;
  readonly url: string;
  readonly scheduledAt: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly statusCode: number | null;
  readonly failure: string | null;
  readonly failureDetail: string | null;
  readonly note: string | null;
  readonly timings: Readonly<
    Record<'dnsMs' | 'connectMs' | 'tlsMs' | 'firstByteMs' | 'totalMs', number | null>
  >;
  readonly response: {
    readonly body: string | null;
    readonly encoding: string | null;
    readonly truncated: boolean;
  } | null;
  readonly dueAt?: string;
}

export interface ShownDelivery {
  readonly id: string;
  readonly endpointId: string;
  readonly status: string;
  readonly attempts: number;
  readonly failure: string | null;
  readonly gaveUp: string | null;
  readonly cancelReason: string | null;
  readonly nextAttempt: { readonly at: string | null; readonly code: string } | null;
  readonly request: { readonly body: string } | null;
  readonly timeline: readonly ShownAttempt[];
}

/** A second try after a second, and no third: enough to see that the schedule is followed, and over soon. */
export const TWO_TRIES = { type: 'fixed', delaySeconds: 1, jitter: 'none', attemptsMax: 2 } as const;
export const ONE_TRY = { ...TWO_TRIES, attemptsMax: 1 } as const;

const PERMANENT: ReadonlySet<string | null> = new Set([
  null,
  'redirect',
  'http_4xx',
  'payload_too_large_413',
  'blocked_address',
  'config_invalid',
  'gone_410',
  'receiver_abort',
]);
// How late a retry may be on a machine that is busy with this suite.
const LATE_MS_MAX = 3_000;

/** Registers an endpoint for each case, of one subscriber: every event goes to all of them. Answers their ids by name. */
export async function subscribeCases(
  context: FaultContext,
  cases: Cases,
  subscriber = 'c',
): Promise<Map<string, string>> {
  const names = Object.keys(cases);
  const ids = await context.subscribe(
    names.map((name) => ({ url: cases[name].url, retryPolicy: TWO_TRIES, ...cases[name].endpoint })),
    subscriber,
  );
  return new Map(names.map((name, at) => [name, ids[at]]));
}

/** What the API shows of every delivery of an endpoint, in the order of their creation. */
export async function deliveriesOf(context: FaultContext, endpointId: string): Promise<ShownDelivery[]> {
  const rows = await context.client.all(`/v1/deliveries?endpoint=${endpointId}&limit=250`);
  const shown = await Promise.all(
    rows.map(({ id }) => context.client.get<ShownDelivery>(`/v1/deliveries/${id}`)),
  );
  return shown.reverse();
}

/** Checks each case against what the API shows. Answers the deliveries by case, and how late the latest retry was. */
export async function judgeCases(
  context: FaultContext,
  cases: Cases,
  endpoints: ReadonlyMap<string, string>,
): Promise<{ shown: Map<string, ShownDelivery[]>; attempts: number; lateMsMax: number; slowestMs: number }> {
  const shown = new Map<string, ShownDelivery[]>();
  let [attempts, lateMsMax, slowestMs] = [0, 0, 0];
  for (const [name, expected] of Object.entries(cases)) {
    const deliveries = await deliveriesOf(context, endpoints.get(name)!);
    shown.set(name, deliveries);
    context.check(deliveries.length > 0, `${name}: there is no delivery`);
    for (const delivery of deliveries) {
      judge(context, name, expected, delivery);
      for (const [at, attempt] of delivery.timeline.entries()) {
        attempts++;
        slowestMs = Math.max(slowestMs, Math.round(attempt.timings?.totalMs ?? 0));
        if (at === 0) continue;
        const plannedAt = Date.parse(attempt.scheduledAt);
        const lateMs = Date.parse(attempt.startedAt) - plannedAt;
        context.check(lateMs < LATE_MS_MAX, `${name}: retry ${attempt.n} came ${lateMs} ms late`);
        lateMsMax = Math.max(lateMsMax, lateMs);
      }
    }
  }
  return { shown, attempts, lateMsMax, slowestMs };
}

function judge(context: FaultContext, name: string, expected: Case, delivery: ShownDelivery): void {
  const { failure, statusCode, tookMs, note } = expected;
  const wanted = expected.attempts ?? (PERMANENT.has(failure) ? 1 : 2);
  const seen = delivery.timeline.map((attempt) => ({
    failure: attempt.failure,
    detail: attempt.failureDetail,
    statusCode: attempt.statusCode,
    totalMs: attempt.timings?.totalMs,
    note: attempt.note,
  }));
  const check = (ok: boolean, what: string): void =>
    context.check(ok, `${name}: ${what}`, { ...delivery, timeline: seen });
  check(delivery.status === (failure === null ? 'delivered' : 'failed'), `is ${delivery.status}`);
  check(seen.length === wanted, `has ${seen.length} attempts instead of ${wanted}`);
  for (const attempt of seen) {
    check(attempt.failure === failure, `${attempt.failure} instead of ${failure}`);
    if (statusCode !== undefined) check(attempt.statusCode === statusCode, `status ${attempt.statusCode}`);
    if (note) check(note.test(attempt.note ?? ''), 'the note is missing');
    else check(attempt.note === null, 'nobody expected a note');
    const took = attempt.totalMs ?? 0;
    if (tookMs) check(took >= tookMs[0] && took <= tookMs[1], `took ${took} ms, not ${tookMs.join(' to ')}`);
  }
}

/** The whole of a simple row: endpoints, so many events, a worker, until all is over; then the cases and the invariants. */
export async function runCases(
  context: FaultContext,
  cases: Cases,
  {
    events = 1,
    settledMs = 30_000,
    env = {},
  }: { events?: number; settledMs?: number; env?: Record<string, string> } = {},
): Promise<{
  shown: Map<string, ShownDelivery[]>;
  figures: Record<string, number | string | boolean | null>;
}> {
  await context.startApi({ env });
  const endpoints = await subscribeCases(context, cases);
  await context.startWorker({ env });
  const accepted = await context.publishMany(events);
  await context.settled(settledMs);
  const { shown, attempts, lateMsMax, slowestMs } = await judgeCases(context, cases, endpoints);
  const figures = await context.invariants({ accepted });
  return {
    shown,
    figures: { ...figures, cases: Object.keys(cases).length, attempts, slowestMs, retryLateMsMax: lateMsMax },
  };
}
