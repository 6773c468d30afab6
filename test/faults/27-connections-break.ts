/**
 * Connections that are reset or closed before, in and after the head of the answer: `reset_before_response` before its first
 * byte, `incomplete_response` in its head; once the status is there it decides, and a broken body is a note.
 */
import type { Socket } from 'node:net';
import { runCases, type Cases } from './cases.js';
import { startHostileServer, type Misbehaviour } from './hostile-server.js';
import type { FaultRow } from './fault-row.js';

const HALF_A_HEAD = 'HTTP/1.1 200 OK\r\nx-a:';
const bodyOf = (status: number) => `HTTP/1.1 ${status} X\r\ncontent-length: 100\r\n\r\npart`;
// Behind what was written: a reset overtakes what the other side has not read yet.
const AFTER_MS = 50;

const reset = (socket: Socket): unknown => socket.resetAndDestroy();
const close = (socket: Socket): unknown => socket.end();

function says(text: string, end: (socket: Socket) => unknown, journal: string): Misbehaviour {
  return (socket) => {
    if (text === '') end(socket);
    else socket.write(text, () => setTimeout(() => end(socket), AFTER_MS));
    return journal;
  };
}

export const row: FaultRow = {
  row: 27,
  name: 'connections-break',
  quick: true,
  async run(context) {
    const server = await startHostileServer(context, {
      behaviours: {
        'rst-before': says('', reset, 'rst'),
        'fin-before': says('', close, 'fin'),
        'rst-in-head': says(HALF_A_HEAD, reset, 'rst'),
        'fin-in-head': says(HALF_A_HEAD, close, 'fin'),
        'rst-in-body': says(bodyOf(200), reset, '200'),
        'fin-in-body': says(bodyOf(200), close, '200'),
        'rst-in-body-500': says(bodyOf(500), reset, '500'),
        'fin-in-body-404': says(bodyOf(404), close, '404'),
        'rst-in-body-of-no-length': says('HTTP/1.1 200 OK\r\n\r\npart', reset, '200'),
        'bad-chunk': says(
          'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n',
          close,
          '200',
        ),
        garbage: says('SSH-2.0-OpenSSH_9.2\r\n', close, 'garbage'),
        'http-0.9': says('<html>hello</html>', close, 'garbage'),
      },
    });
    const atOnce = await startHostileServer(context, { onConnection: reset });
    const politely = await startHostileServer(context, { onConnection: close });
    const none = { statusCode: null };
    const note = /broke off/;
    const of = (path: string) => ({ url: server.url(`/${path}`) });
    const cases: Cases = {
      'rst-on-accept': { url: atOnce.url('/'), failure: 'reset_before_response', ...none },
      'fin-on-accept': { url: politely.url('/'), failure: 'reset_before_response', ...none },
      'rst-before': { ...of('rst-before'), failure: 'reset_before_response', ...none },
      'fin-before': { ...of('fin-before'), failure: 'reset_before_response', ...none },
      'rst-in-head': { ...of('rst-in-head'), failure: 'incomplete_response', ...none },
      'fin-in-head': { ...of('fin-in-head'), failure: 'incomplete_response', ...none },
      garbage: { ...of('garbage'), failure: 'incomplete_response', ...none },
      'http-0.9': { ...of('http-0.9'), failure: 'incomplete_response', ...none },
      'rst-in-body': { ...of('rst-in-body'), failure: null, statusCode: 200, note },
      'fin-in-body': { ...of('fin-in-body'), failure: null, statusCode: 200, note },
      'rst-in-body-of-no-length': { ...of('rst-in-body-of-no-length'), failure: null, statusCode: 200, note },
      'bad-chunk': { ...of('bad-chunk'), failure: null, statusCode: 200, note },
      'rst-in-body-500': { ...of('rst-in-body-500'), failure: 'http_5xx', statusCode: 500, note },
      'fin-in-body-404': { ...of('fin-in-body-404'), failure: 'http_4xx', statusCode: 404, note },
    };
    const { shown, figures } = await runCases(context, cases);
    for (const name of ['rst-in-body', 'fin-in-body', 'rst-in-body-of-no-length'])
      context.check(
        shown.get(name)![0].timeline[0].response?.body === 'part',
        `${name}: what came of the body is kept`,
      );
    return figures;
  },
};
