import { Metrics, createLogger } from '@app/observability';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Claims } from './claims.js';
import type { ClaimedTicket } from './parking.js';

const HEARTBEAT_MS = 4000;
const CLAIM_MS = 10_000;

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const ticket = (deliveryId: string, retryCount = 0): ClaimedTicket => ({
  deliveryId,
  endpointId: 'e',
  retryCount,
  of: 'normal',
  claimedAtMs: Date.now(),
});

type Ids = (asked: { deliveryId: string }[]) => Promise<Set<string>>;

/** Claims on a queue that has lost `lost` and given `taken` to somebody else; whoever holds them has all of them waiting. */
function rig() {
  const lost = new Set<string>();
  const taken = new Set<string>();
  const gone: string[] = [];
  let away = false;
  const idsBut =
    (not: Set<string>): Ids =>
    async (asked) => {
      if (away) throw new Error('away');
      return new Set(asked.map(({ deliveryId }) => deliveryId).filter((id) => !not.has(id)));
    };
  const queue = { touch: vi.fn<Ids>(idsBut(lost)), stillOwn: vi.fn<Ids>(idsBut(taken)) };
  const proven = vi.fn<() => void>();
  const metrics = new Metrics();
  const logger = createLogger({ level: 'silent', process: 'test' });
  const clock = { now: () => new Date() };
  const claims = new Claims(queue, metrics, logger, clock, {
    dropWaiting: (asked, ours) => asked.filter(({ deliveryId }) => !ours.has(deliveryId)),
    gone: (deliveryId) => gone.push(deliveryId),
    proven,
  });
  claims.start();
  const touched = () => queue.touch.mock.calls.map(([asked]) => asked.map(({ deliveryId }) => deliveryId));
  const count = async () => (await metrics.claimed.get()).values[0].value;
  return { claims, queue, lost, taken, gone, proven, touched, count, goAway: (is: boolean) => (away = is) };
}

/** The process is stopped: time goes on and no timer runs. */
const sleep = (ms: number): void => void vi.setSystemTime(Date.now() + ms);

describe('Claims', () => {
  it('touches what is not just claimed, and no longer what is settled', async () => {
    const { claims, touched, count, gone } = rig();
    claims.add([ticket('a'), ticket('b')]);
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS - 1000);
    claims.add([ticket('fresh')]);
    claims.settled(['b']);
    expect(gone).toEqual(['b']);
    await vi.advanceTimersByTimeAsync(1000);
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    expect(touched()).toEqual([['a'], ['a', 'fresh']]);
    expect(await count()).toBe(2);
    claims.stop();
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    expect(touched()).toHaveLength(2);
  });

  it('drops what the queue does not know as ours', async () => {
    const { claims, lost, gone, count } = rig();
    const [a, b] = [ticket('a'), ticket('b')];
    claims.add([a, b]);
    lost.add('a');
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    expect([claims.has(a), claims.has(b), gone]).toEqual([false, true, ['a']]);
    expect(await count()).toBe(1);
  });

  it('keeps a delivery that was claimed anew until both claims have ended, and knows which is the later', () => {
    const { claims, gone } = rig();
    const [earlier, later] = [ticket('a'), ticket('a', 1)];
    claims.add([earlier]);
    claims.add([later]);
    expect([claims.has(earlier), claims.has(later)]).toEqual([false, true]);
    claims.settled(['a']);
    expect([claims.has(later), gone]).toEqual([true, []]);
    claims.settled(['a']);
    expect([claims.has(later), gone]).toEqual([false, ['a']]);
  });

  it('after a sleep are not proven by an answer that asked nothing of a claim which came meanwhile, though it is as old', async () => {
    const { claims, queue, proven } = rig();
    claims.add([ticket('a')]);
    const old = ticket('old');
    sleep(CLAIM_MS);
    expect(claims.areProven()).toBe(false);
    // Its statement was answered before the sleep, and read after it.
    claims.add([old]);
    await vi.advanceTimersByTimeAsync(0);
    expect(proven).not.toHaveBeenCalled();
    expect(claims.areProven()).toBe(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(queue.stillOwn.mock.lastCall![0]).toContain(old);
    expect(proven).toHaveBeenCalledTimes(1);
    expect(claims.areProven()).toBe(true);
  });

  it('after a sleep are proven by asking once whose they are, and then whoever waits is told', async () => {
    const { claims, queue, taken, gone, proven } = rig();
    claims.add([ticket('a'), ticket('b')]);
    sleep(CLAIM_MS - 1);
    expect(claims.areProven()).toBe(true);
    sleep(1);
    // Touched, it would look like ours: another's claim of it has the same id and count.
    taken.add('b');
    expect([claims.areProven(), claims.areProven()]).toEqual([false, false]);
    await vi.advanceTimersByTimeAsync(0);
    expect(queue.stillOwn).toHaveBeenCalledOnce();
    expect(gone).toEqual(['b']);
    expect(proven).toHaveBeenCalledOnce();
    expect(claims.areProven()).toBe(true);
  });

  it('are not proven while the database is away', async () => {
    const { claims, proven, gone, goAway } = rig();
    claims.add([ticket('a')]);
    goAway(true);
    await vi.advanceTimersByTimeAsync(CLAIM_MS);
    expect(claims.areProven()).toBe(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(claims.areProven()).toBe(false);
    expect(proven).not.toHaveBeenCalled();
    goAway(false);
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    expect([claims.areProven(), proven.mock.calls.length, gone]).toEqual([true, 1, []]);
  });
});
