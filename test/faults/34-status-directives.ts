/**
 * What a receiver says about later: 410 ends its endpoint, 429 and 503 are believed about when to come back (never earlier, a day
 * at most), garbage is not, and `webhook-delivery` may disable or abort.
 */
import { deliveriesOf, type ShownDelivery } from './cases.js';
import { answer, startHostileServer, type Misbehaviour } from './hostile-server.js';
import type { FaultRow } from './fault-row.js';

const DAY_SECONDS = 86_400;
const SCHEDULED_SECONDS = 1000;
// Rounding to whole seconds, and the time until the answer is judged.
const SLACK_SECONDS = 2;
// An attempt ends by its worker's clock, the next is due by the database's.
const CLOCKS_SECONDS_MAX = 0.1;

/** Header values, and in how many seconds the next attempt must be due. */
const RETRY_AFTER: Record<string, [status: number, value: () => string, seconds: number]> = {
  seconds: [429, () => '2000', 2000],
  'seconds-503': [503, () => '3000', 3000],
  // Less than the schedule: never earlier than either.
  'sooner-than-planned': [429, () => '5', SCHEDULED_SECONDS],
  'too-long': [429, () => '999999999', DAY_SECONDS],
  'far-too-long': [503, () => '9'.repeat(60), DAY_SECONDS],
  date: [503, () => new Date(Date.now() + 4_000_000).toUTCString(), 4000],
  'date-past': [503, () => 'Sun, 06 Nov 1994 08:49:37 GMT', SCHEDULED_SECONDS],
  'date-next-century': [429, () => 'Fri, 31 Dec 2999 23:59:59 GMT', DAY_SECONDS],
  'date-iso': [503, () => new Date(Date.now() + 4_000_000).toISOString(), SCHEDULED_SECONDS],
  'date-impossible': [503, () => 'Thu, 99 Foo 2026 25:61:61 GMT', SCHEDULED_SECONDS],
  negative: [429, () => '-2000', SCHEDULED_SECONDS],
  fraction: [429, () => '2000.5', SCHEDULED_SECONDS],
  exponent: [429, () => '1e9', SCHEDULED_SECONDS],
  words: [503, () => 'soon', SCHEDULED_SECONDS],
  empty: [503, () => '', SCHEDULED_SECONDS],
  long: [503, () => 'x'.repeat(8000), SCHEDULED_SECONDS],
};

interface Said {
  readonly status: number;
  readonly directive: string;
  /** Of its delivery. */
  readonly ends: string;
  readonly failure: string | null;
  readonly disabled: string | null;
}

const DIRECTIVES: Record<string, Said> = {
  gone: { status: 410, directive: '', ends: 'failed', failure: 'gone_410', disabled: 'gone_410' },
  'disable-500': {
    status: 500,
    directive: 'disable',
    ends: 'failed',
    failure: 'http_5xx',
    disabled: 'receiver_asked',
  },
  'disable-200': {
    status: 200,
    directive: 'Disable',
    ends: 'delivered',
    failure: null,
    disabled: 'receiver_asked',
  },
  'abort-500': {
    status: 500,
    directive: 'abort-message',
    ends: 'failed',
    failure: 'receiver_abort',
    disabled: null,
  },
  'abort-429': {
    status: 429,
    directive: 'abort-message',
    ends: 'failed',
    failure: 'receiver_abort',
    disabled: null,
  },
  'abort-200': { status: 200, directive: 'abort-message', ends: 'delivered', failure: null, disabled: null },
  unknown: { status: 404, directive: 'explode', ends: 'failed', failure: 'http_4xx', disabled: null },
};

export const row: FaultRow = {
  row: 34,
  name: 'status-directives',
  // All that is said here once more, with real processes, retry-classes.spec.ts and retry-after.spec.ts say to the database.
  quick: false,
  alone: true,
  async run(context) {
    const behaviours: Record<string, Misbehaviour> = {};
    for (const [name, [status, value]] of Object.entries(RETRY_AFTER))
      behaviours[name] = (socket) => {
        socket.write(answer(status, { 'retry-after': value() }));
        return String(status);
      };
    for (const [name, { status, directive }] of Object.entries(DIRECTIVES))
      behaviours[name] = (socket, { n }) => {
        // The first event of each fails in the ordinary way and waits; what is said to the second is what this is about.
        const said =
          n === 1 ? answer(500) : answer(status, directive === '' ? {} : { 'webhook-delivery': directive });
        socket.write(said);
        return n === 1 ? '500' : String(status);
      };
    behaviours.soon = (socket, { n }) => {
      socket.write(n === 1 ? answer(429, { 'retry-after': '3' }) : answer(200));
      return n === 1 ? '429' : '200';
    };
    const server = await startHostileServer(context, { behaviours });
    await context.startApi();
    const retryPolicy = { type: 'fixed', delaySeconds: SCHEDULED_SECONDS, jitter: 'none', attemptsMax: 5 };
    const subscribe = async (names: string[], subscriber: string): Promise<Map<string, string>> => {
      const ids = await context.subscribe(
        names.map((name) => ({ url: server.url(`/${name}`), retryPolicy })),
        subscriber,
      );
      return new Map(names.map((name, at) => [name, ids[at]]));
    };
    const asking = await subscribe(Object.keys(RETRY_AFTER), 'c');
    const directing = await subscribe(Object.keys(DIRECTIVES), 'd');
    const [soon] = await context.subscribe(
      [{ url: server.url('/soon'), retryPolicy: { ...retryPolicy, delaySeconds: 1 } }],
      's',
    );
    await context.startWorker();
    const accepted = [...(await context.publishMany(1)), ...(await context.publishMany(1, 'd'))];
    accepted.push(...(await context.publishMany(1, 's')));
    const attempts = (n: number): Promise<void> =>
      context.tables.until('SELECT count(*) >= $1 AS ok, count(*)::int AS n FROM attempts', [n]);
    await attempts(asking.size + directing.size + 1);
    accepted.push(...(await context.publishMany(1, 'd')));
    await attempts(asking.size + 2 * directing.size + 2);
    await context.tables.until(
      `SELECT count(*) = $1 AS ok, count(*)::int AS n FROM deliveries WHERE status = 'cancelled'`,
      [Object.values(DIRECTIVES).filter(({ disabled }) => disabled !== null).length],
    );

    let earliestSeconds = Infinity;
    for (const [name, id] of asking) {
      const [, , seconds] = RETRY_AFTER[name];
      const [delivery] = await deliveriesOf(context, id);
      const [first, next] = delivery.timeline;
      const inSeconds = (Date.parse(next.dueAt!) - Date.parse(first.finishedAt)) / 1000;
      // A date names a whole second, and the one that is expected here is not.
      if (!name.startsWith('date')) earliestSeconds = Math.min(earliestSeconds, inSeconds - seconds);
      context.check(
        delivery.status === 'pending' && Math.abs(inSeconds - seconds) <= SLACK_SECONDS,
        `${name}: due in ${inSeconds} s instead of ${seconds}`,
      );
      const code = seconds === SCHEDULED_SECONDS ? 'retry_schedule' : 'retry_after';
      context.check(
        delivery.nextAttempt?.code === code,
        `${name}: not because of ${code}`,
        delivery.nextAttempt,
      );
    }
    context.check(earliestSeconds >= -CLOCKS_SECONDS_MAX, `due ${-earliestSeconds} s earlier than allowed`);
    const [came] = await deliveriesOf(context, soon);
    const waitedMs = Date.parse(came.timeline[1].startedAt) - Date.parse(came.timeline[0].finishedAt);
    context.check(waitedMs >= 2950 && waitedMs < 6000, `soon: asked for 3 s, came back after ${waitedMs} ms`);
    for (const [name, id] of directing) {
      const said = DIRECTIVES[name];
      const endpoint = await context.client.get(`/v1/subscribers/d/endpoints/${id}`);
      const [waiting, last] = await deliveriesOf(context, id);
      context.check(
        said.disabled === null
          ? endpoint.status === 'enabled' && endpoint.disabledReason === null
          : endpoint.status === 'disabled' &&
              (endpoint.disabledReason as string).startsWith(`${said.disabled}: `),
        `${name}: its endpoint`,
        [endpoint.status, endpoint.disabledReason],
      );
      context.check(
        last.status === said.ends && last.failure === said.failure,
        `${name}: its delivery`,
        shortly(last),
      );
      context.check(
        said.disabled === null
          ? waiting.status === 'pending'
          : waiting.status === 'cancelled' && waiting.cancelReason === 'endpoint_disabled',
        `${name}: what waited`,
        shortly(waiting),
      );
    }
    const figures = await context.invariants({ accepted, unsettled: true });
    return {
      ...figures,
      values: asking.size,
      directives: directing.size,
      earliestMs: Math.round(earliestSeconds * 1000),
      waitedMs,
    };
  },
};

function shortly({ status, failure, gaveUp, cancelReason }: ShownDelivery): object {
  return { status, failure, gaveUp, cancelReason };
}
