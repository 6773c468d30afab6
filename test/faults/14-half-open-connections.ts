/**
 * All connections to PostgreSQL die without a word (no FIN, no RST: a firewall forgot them); new ones work. Within 30 s
 * events are accepted and delivered again, LISTEN included.
 */
import { Outage } from './outage.js';
import type { FaultRow } from './fault-row.js';

const BACK_MS_MAX = 30_000;
// Well below the poll of 500 ms: who is that quick was woken.
const WOKEN_MS_MAX = 250;

export const row: FaultRow = {
  row: 14,
  name: 'half-open-connections',
  quick: false,
  async run(context) {
    const proxy = await context.startProxy();
    const outage = await Outage.begin(context, proxy.urlOf(context.databaseUrl));
    const silenced = proxy.silence();
    const backMs = await outage.backAfterMs();
    context.check(backMs < BACK_MS_MAX, `it took ${backMs} ms to find out`);
    await outage.publishers.stop();
    await context.settled(60_000);

    const latencies: number[] = [];
    const listening = async (): Promise<boolean> => {
      const askedAt = performance.now();
      const { id } = await context.client.publish({ subscriber: 'c', type: 'thing.happened', data: {} });
      await outage.receiver.waitFor(1, { filter: { webhookId: id, path: '/ok/a' } });
      return latencies.push(performance.now() - askedAt) > 0;
    };
    await context.until(
      'announced work is found at once again',
      async () => {
        latencies.length = 0;
        for (let n = 0; n < 9; n++) await listening();
        return latencies.sort((a, b) => a - b)[4] < WOKEN_MS_MAX;
      },
      30_000,
    );
    const figures = await outage.end({ repeatsMax: 50 });
    return { ...figures, silenced, backMs, latencyP50Ms: Math.round(latencies[4]) };
  },
};
