import { setTimeout as delay } from 'node:timers/promises';
import type { FaultContext } from './fault-context.js';

/** Below it a difference is the machine's, not ours. */
export const NOISE_MS = 400;

/** From accepting an event to its receiver, for a few events one after the other. */
export async function slowestOf(
  context: FaultContext,
  { subscriber, endpoint }: { subscriber: string; endpoint: string },
  events: number,
  accepted: string[],
): Promise<number> {
  const from = accepted.length;
  for (let n = 0; n < events; n++) {
    accepted.push(...(await context.publishMany(1, subscriber, from + n)));
    await delay(20);
  }
  const ids = accepted.slice(from);
  let latencies: number[] = [];
  await context.until('the others have their events', async () => {
    const rows = await context.client.all<{ eventId: string; createdAt: string; finishedAt: string | null }>(
      `/v1/deliveries?endpoint=${endpoint}&limit=250`,
    );
    const mine = rows.filter(({ eventId, finishedAt }) => ids.includes(eventId) && finishedAt !== null);
    latencies = mine.map(({ createdAt, finishedAt }) => Date.parse(finishedAt!) - Date.parse(createdAt));
    return mine.length === events;
  });
  return latencies.sort((a, b) => a - b).at(-1)!;
}
