/**
 * Secrets are rotated again and again under load: every request is signed with each secret that was live at its time, so that a
 * receiver which knows any one of them verifies it, and with none whose time is over.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fromPublicId } from '@app/domain';
import { verify } from '@app/signing';
import { storedSecrets } from '../support/keks.js';
import type { FaultRow } from './fault-row.js';

const OVERLAP_SECONDS = 2;
// Between loading an endpoint's row and signing with what stood in it lies a moment.
const LOADED_MS_MAX = 1000;
// A secret ends by the database's clock, an attempt begins by its worker's.
const CLOCKS_MS_MAX = 250;

export const row: FaultRow = {
  row: 53,
  name: 'secrets-rotate',
  quick: false,
  async run(context) {
    const rotations = context.quick ? 6 : 40;
    const receiver = await context.startReceiver();
    await context.startApi();
    const retryPolicy = {
      type: 'fixed',
      delaySeconds: 1,
      jitter: 'none',
      attemptsMax: 50,
      ageMaxSeconds: 3600,
    };
    // Retries too: they are signed anew, long after their event.
    const endpoints = await context.subscribe([
      receiver.url('/ok/steady'),
      { url: receiver.url('/fail-every/3/retried'), retryPolicy },
    ]);
    await context.startWorker();
    await context.startWorker();
    const publishers = context.startPublishers({ publishers: 4, pauseMs: 40 });
    await publishers.reach(20);
    let leaked = 0;
    for (let n = 0; n < rotations; n++) {
      for (const id of endpoints) {
        // Now and then a secret has leaked and ends at once.
        const overlapSeconds = n % 5 === 4 ? 0 : OVERLAP_SECONDS;
        if (overlapSeconds === 0) leaked++;
        const { status } = await context.client.request(
          'POST',
          `/v1/subscribers/c/endpoints/${id}/secret/rotate`,
          { overlapSeconds },
        );
        context.check(status === 200, `a rotation was answered ${status}`);
      }
      await delay(context.quick ? 500 : 500 + context.random.next() * 2000);
    }
    await publishers.stop();
    // A third of all requests fails: that lane's window is small, and what it holds takes a while.
    await context.settled(120_000);

    const secrets = await storedSecrets(context.tables);
    const attempts = await context.tables.rows<{ key: string; startedAt: Date }>(
      `SELECT delivery_id || ' ' || n AS key, started_at AS "startedAt" FROM attempts`,
    );
    const startedAt = new Map(attempts.map((each) => [each.key, each.startedAt.getTime()]));
    let [verified, signedByTwo] = [0, 0];
    for (const { path, headers, body } of await receiver.journal()) {
      const key = `${fromPublicId('dlv', headers['posthorn-delivery'] as string)} ${String(headers['posthorn-attempt'])}`;
      const at = startedAt.get(key)!;
      const now = new Date(Number(headers['webhook-timestamp']) * 1000);
      const holds = (secret: string): boolean => verify(headers, body, [secret], { now }).ok;
      const own = secrets.filter((each) => each.url.endsWith(path));
      for (const { secret, createdAt: from, expiresAt: until } of own) {
        const endsAt = until?.getTime() ?? Infinity;
        const mustSign = from.getTime() < at - LOADED_MS_MAX && endsAt > at + CLOCKS_MS_MAX;
        const mustNot = endsAt < at - LOADED_MS_MAX;
        if (mustSign)
          context.check(holds(secret), 'a request is not signed with a secret of its time', {
            from,
            until,
            at,
          });
        if (mustNot)
          context.check(!holds(secret), 'a request is signed with a secret that is over', {
            from,
            until,
            at,
          });
      }
      const signatures = own.filter(({ secret }) => holds(secret)).length;
      context.check(signatures > 0, 'no signature holds', headers);
      verified++;
      if (signatures > 1) signedByTwo++;
    }
    context.check(signedByTwo > 0, 'no request met an overlap');
    const figures = await context.invariants({ answered: publishers.answered });
    return { ...figures, rotations: 2 * rotations, leaked, verified, signedByTwo };
  },
};
