// HttpSender in a process of its own, so that what is measured is its memory and no receiver's.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { HttpSender } from '@app/delivery';
import { parseCidrs, PUBLIC_ONLY } from '@app/domain';
import { serveCalls } from '../child.js';

const MB = 2 ** 20;
const SAMPLE_EVERY_MS = 10;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const sender = new HttpSender({
  policy: { addresses: { ...PUBLIC_ONLY, allow: parseCidrs('127.0.0.0/8') }, hosts: [], http: true },
  connectionsPerOriginMax: 1024,
});

export interface Sending {
  readonly url: string;
  readonly times: number;
  readonly deadlineMs: number;
}

export interface Sent {
  /** How often each `failure` (or `delivered`) and detail came. */
  readonly outcomes: Record<string, number>;
  readonly slowestMs: number;
  /** Resident at most, above what it was before. */
  readonly residentGrowthMb: number;
  /** What was reachable at most: heap and external memory after a collection, above what it was before. */
  readonly liveGrowthMb: number;
}

export type SenderCalls = { send: (sending: Sending) => Promise<Sent> };

serveCalls({
  send: async ({ url, times, deadlineMs }: Sending): Promise<Sent> => {
    collect();
    const before = { resident: process.memoryUsage.rss(), live: live() };
    let [resident, reachable, samples] = [before.resident, before.live, 0];
    const timer = setInterval(() => {
      resident = Math.max(resident, process.memoryUsage.rss());
      // A collection takes too long to make one each time.
      if (++samples % 10 !== 0) return;
      collect();
      reachable = Math.max(reachable, live());
    }, SAMPLE_EVERY_MS);
    const body = Buffer.from('{}');
    const results = await Promise.all(
      Array.from({ length: times }, () => sender.send({ url, headers: {}, body, deadlineMs })),
    );
    clearInterval(timer);
    resident = Math.max(resident, process.memoryUsage.rss());
    const outcomes: Record<string, number> = {};
    for (const { failure, failureDetail, bodyNote } of results) {
      const outcome = `${failure ?? 'delivered'}: ${failureDetail ?? bodyNote ?? ''}`;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    return {
      outcomes,
      slowestMs: Math.max(...results.map(({ timings }) => timings.totalMs)),
      residentGrowthMb: Math.round((resident - before.resident) / MB),
      liveGrowthMb: Math.round((reachable - before.live) / MB),
    };
  },
});

function live(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
