/**
 * A receiver behind a firewall that drops: `connect_timeout` after 5 s, though its endpoint allows 15; and many of them at once
 * keep nobody waiting.
 */
import { ONE_TRY, runCases, type Case } from './cases.js';
import { fine, startHostileServer } from './hostile-server.js';
import { startSilentPort } from './silent-port.js';
import type { FaultRow } from './fault-row.js';

const CONNECT_MS = [4990, 5700] as const;
const ENDPOINTS = 10;

export const row: FaultRow = {
  row: 28,
  name: 'blackholed-receiver',
  quick: false,
  async run(context) {
    const port = await startSilentPort(context);
    const server = await startHostileServer(context, { behaviours: { fine } });
    const cases: Record<string, Case> = {
      fine: { url: server.url('/fine'), failure: null, tookMs: [0, 1000] },
    };
    for (let n = 0; n < ENDPOINTS; n++)
      cases[`silent${n}`] = {
        url: `${n % 2 ? 'https' : 'http'}://127.0.0.1:${port}/${n}`,
        failure: 'connect_timeout',
        statusCode: null,
        attempts: 1,
        tookMs: CONNECT_MS,
        endpoint: { timeoutSeconds: 15, retryPolicy: ONE_TRY },
      };
    const { figures, shown } = await runCases(context, cases, { events: context.quick ? 1 : 2 });
    const fineMs = Math.max(
      ...shown
        .get('fine')!
        .map(({ timeline: [each] }) => Date.parse(each.finishedAt) - Date.parse(each.scheduledAt)),
    );
    context.check(fineMs < 1500, `the healthy endpoint waited ${fineMs} ms`);
    return { ...figures, by: 'a full line of connections to accept', fineMs };
  },
};
