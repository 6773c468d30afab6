/** Informational answers without end, which no timeout on headers sees: the deadline ends the slow ones, a bound the fast. */
import { ONE_TRY, runCases, type Cases } from './cases.js';
import { answer, startHostileServer } from './hostile-server.js';
import type { Socket } from 'node:net';
import type { FaultRow } from './fault-row.js';

const EARLY_HINTS = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n';

export const row: FaultRow = {
  row: 26,
  name: 'endless-1xx',
  quick: false,
  async run(context) {
    const server = await startHostileServer(context, {
      behaviours: {
        slowly: (socket) => (repeat(socket, 100, EARLY_HINTS), '1xx'),
        fast: (socket) => (repeat(socket, 1, EARLY_HINTS.repeat(50)), '1xx'),
        continues: (socket) => (repeat(socket, 100, 'HTTP/1.1 100 Continue\r\n\r\n'), '1xx'),
        few: (socket) => {
          socket.write(EARLY_HINTS.repeat(3));
          socket.write('HTTP/1.1 102 Processing\r\n\r\n');
          socket.write(answer(200));
          return '200';
        },
      },
    });
    const endless = (path: string, failure: 'header_timeout' | 'incomplete_response') => ({
      url: server.url(path),
      failure,
      statusCode: null,
      attempts: 1,
      endpoint: { timeoutSeconds: 2, retryPolicy: ONE_TRY },
    });
    const cases: Cases = {
      slowly: { ...endless('/slowly', 'header_timeout'), tookMs: [1999, 2500] },
      // A 100 that nobody asked for is no answer, and no end either.
      continues: { ...endless('/continues', 'header_timeout'), tookMs: [1999, 2500] },
      fast: { ...endless('/fast', 'incomplete_response'), tookMs: [0, 1500] },
      few: { url: server.url('/few'), failure: null, statusCode: 200 },
    };
    const { figures } = await runCases(context, cases, { events: 2 });
    return figures;
  },
};

function repeat(socket: Socket, everyMs: number, text: string): void {
  const timer = setInterval(() => socket.write(text), everyMs);
  socket.once('close', () => clearInterval(timer));
}
