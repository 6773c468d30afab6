/**
 * Endpoints get another URL, are disabled or deleted while their deliveries are on the way and being retried: the next attempt
 * goes to the new URL, and a second after it was disabled or deleted nothing is sent to one any more.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../support/monotonic.js';
import type { FaultRow } from './fault-row.js';

const LATE_MS_MAX = 1000;
const KINDS = ['moved', 'disabled', 'deleted', 'flickering'] as const;

export const row: FaultRow = {
  row: 55,
  name: 'endpoints-change',
  quick: 'short',
  alone: true,
  async run(context) {
    const each = context.quick ? 4 : 15;
    const receiver = await context.startReceiver();
    await context.startApi();
    const retryPolicy = {
      type: 'fixed',
      delaySeconds: 0.5,
      jitter: 'full',
      attemptsMax: 100,
      ageMaxSeconds: 3600,
    };
    const names = KINDS.flatMap((kind) => Array.from({ length: each }, (_, n) => `${kind}-${n}`));
    // Two requests in three succeed, so that circuits stay closed and there is always a retry on its way.
    const ids = await context.subscribe(
      names.map((name) => ({ url: receiver.url(`/fail-every/3/${name}`), retryPolicy })),
    );
    await context.startWorker();
    await context.startWorker();
    const publishers = context.startPublishers({ publishers: 4, pauseMs: 40 });
    await publishers.reach(20);

    const at = (id: string): string => `/v1/subscribers/c/endpoints/${id}`;
    const act = async (method: string, path: string, body?: unknown): Promise<number> => {
      const { status } = await context.client.request(method, path, body);
      context.check(status >= 200 && status < 300, `${method} ${path}: ${status}`);
      return monotonicMs();
    };
    /** When what was asked for was committed, by the paths that must then be silent. */
    const silentFrom = new Map<string, number>();
    await Promise.all(
      names.map(async (name, n) => {
        await delay(context.random.next() * (context.quick ? 1500 : 10_000));
        const path = `/fail-every/3/${name}`;
        if (name.startsWith('moved')) {
          silentFrom.set(path, await act('PATCH', at(ids[n]), { url: receiver.url(`/ok/${name}`) }));
        } else if (name.startsWith('deleted')) {
          silentFrom.set(path, await act('DELETE', at(ids[n])));
        } else {
          if (name.startsWith('flickering')) {
            await act('POST', `${at(ids[n])}/disable`, {});
            await act('POST', `${at(ids[n])}/enable`);
            await delay(200);
          }
          silentFrom.set(path, await act('POST', `${at(ids[n])}/disable`, { reason: 'a test' }));
        }
      }),
    );
    await publishers.more(20);
    // Longer than what may still come, and than each retry that was planned.
    await delay(2 * LATE_MS_MAX);
    await publishers.stop();
    await context.settled();

    const journal = await receiver.journal();
    let lateMsMax = 0;
    for (const { path, monotonicMs: atMs } of journal)
      lateMsMax = Math.max(lateMsMax, atMs - (silentFrom.get(path) ?? Infinity));
    context.check(lateMsMax <= LATE_MS_MAX, `I5: a request came ${Math.round(lateMsMax)} ms too late`);
    const movedRetries = journal.filter(
      ({ path, headers }) => path.startsWith('/ok/moved') && headers['posthorn-attempt'] !== '1',
    ).length;
    context.check(movedRetries > 0, 'no retry met a new URL');
    const ends = await context.tables.rows<{ kind: string; status: string; n: number }>(
      `SELECT substring(e.url FROM '/([a-z]+)-\\d+$') AS kind, d.status, count(*)::int AS n
         FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id GROUP BY 1, 2`,
    );
    const count = (kind: string, status: string): number =>
      ends.find((each) => each.kind === kind && each.status === status)?.n ?? 0;
    context.check(
      count('moved', 'cancelled') === 0 && count('moved', 'failed') === 0,
      'the moved ones have all',
      ends,
    );
    context.check(count('disabled', 'cancelled') > 0, 'what waited for a disabled one is cancelled', ends);
    const figures = await context.invariants({ answered: publishers.answered });
    return {
      ...figures,
      endpoints: names.length,
      lateMsMax: Math.round(lateMsMax),
      movedRetries,
      cancelled:
        count('disabled', 'cancelled') + count('deleted', 'cancelled') + count('flickering', 'cancelled'),
    };
  },
};
