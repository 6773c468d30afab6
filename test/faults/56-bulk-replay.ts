/**
 * Everything that was missed is sent again while workers are killed, and the same replay is asked for twice more: it goes on where
 * it was, each delivery is sent once (but for those in flight in a worker that died), and the counts are right.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fromPublicId } from '@app/domain';
import type { FaultRow } from './fault-row.js';

const ENDPOINTS = 10;
const CONCURRENCY = 128;

interface Replay {
  readonly id: string;
  readonly state: string;
  readonly matched: number;
  readonly resent: number;
  readonly skipped: number;
}

export const row: FaultRow = {
  row: 56,
  name: 'bulk-replay',
  quick: false,
  timeoutSeconds: 600,
  async run(context) {
    const events = context.quick ? 400 : 10_000;
    const kills = context.quick ? 2 : 8;
    const matched = events * ENDPOINTS;
    const receiver = await context.startReceiver();
    await context.startApi();
    const ids = await context.subscribe(
      Array.from({ length: ENDPOINTS }, (_, n) => receiver.url(`/ok/${n}`)),
    );
    const act = (id: string, action: string): Promise<unknown> =>
      context.client.post(`/v1/subscribers/c/endpoints/${id}/${action}`, {});
    for (const id of ids) await act(id, 'disable');
    const since = new Date(Date.now() - 60_000).toISOString();
    const accepted = await context.publishMany(events);
    for (const id of ids) await act(id, 'enable');
    const body = {
      subscriber: 'c',
      status: 'cancelled',
      since,
      until: new Date(Date.now() + 1000).toISOString(),
    };
    const ask = () =>
      context.client.post<{ id: string | null; matched: number; alreadyRunning: boolean }>(
        '/v1/replays',
        body,
      );

    const env = { WORKER_CONCURRENCY: String(CONCURRENCY) };
    const started = await ask();
    const again = await ask();
    context.check(started.matched === matched && !started.alreadyRunning, 'the replay finds all', started);
    context.check(
      again.alreadyRunning && again.id === started.id,
      'the same replay is not started twice',
      again,
    );
    const startedAt = performance.now();
    // One at a time, so that its death stops the replay wherever it is.
    let worker = await context.startWorker({ env });
    let killedMeanwhile = 0;
    for (let n = 0; n < kills; n++) {
      await context.tables.until(
        'SELECT resent >= $2 AS ok, resent FROM replays WHERE id = $1',
        [fromPublicId('rpl', started.id!), Math.floor((matched * (n + 1)) / (kills + 2))],
        120_000,
      );
      await context.kill(worker);
      const { state } = await context.client.get<Replay>(`/v1/replays/${started.id}`);
      if (state === 'running') killedMeanwhile++;
      await context.expireClaims();
      worker = await context.startWorker({ env });
      // Little by little: a hundred thousand entries at once are more than one message should carry.
      await receiver.journal();
    }
    context.check(killedMeanwhile > 0, 'no kill met the replay at work');
    await context.startWorker({ env });
    let replay = await context.client.get<Replay>(`/v1/replays/${started.id}`);
    await context.until(
      'the replay is done',
      async () => {
        await receiver.journal();
        replay = await context.client.get<Replay>(`/v1/replays/${started.id}`);
        return replay.state === 'done';
      },
      200_000,
    );
    const replayMs = Math.round(performance.now() - startedAt);
    for (let pending = 1; pending > 0;) {
      await receiver.journal();
      pending = (
        await context.tables.row<{ n: number }>(
          `SELECT count(*)::int AS n FROM deliveries WHERE status = 'pending'`,
        )
      ).n;
      await delay(250);
    }
    const deliveredMs = Math.round(performance.now() - startedAt);
    context.check(
      replay.resent === matched && replay.skipped === 0,
      'all were sent again, and counted',
      replay,
    );
    const third = await ask();
    context.check(
      third.matched === 0 && third.id !== started.id,
      'afterwards there is nothing left to replay',
      third,
    );
    const wrong = await context.tables.rows(
      `SELECT id, status, attempts FROM deliveries WHERE status <> 'delivered' OR tries <> 1 LIMIT 5`,
    );
    context.check(wrong.length === 0, 'each was delivered in one try', wrong);
    const inFlightMax = kills * CONCURRENCY;
    const figures = await context.invariants({
      accepted,
      repeatsMax: inFlightMax,
      unrecordedMax: inFlightMax,
    });
    return { ...figures, matched, kills, killedMeanwhile, replayMs, deliveredMs };
  },
};
