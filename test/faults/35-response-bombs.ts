/**
 * 200 answers at a time that are bombs: gzip, a gigabyte, endless headers, NUL, bytes that are no text, protocol switches. The
 * worker's memory stays where it was with ordinary answers, and every attempt is on record.
 */
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import type { Socket } from 'node:net';
import { judgeCases, ONE_TRY, subscribeCases, type Case } from './cases.js';
import { answer, startHostileServer, type Misbehaviour } from './hostile-server.js';
import type { FaultRow } from './fault-row.js';

const GROWTH_MB_MAX = 50;
const AT_ONCE = 200;
const WARM_UP_ROUNDS = 3;
const KEPT_BYTES = 16_384;

export const row: FaultRow = {
  row: 35,
  name: 'response-bombs',
  quick: true,
  async run(context) {
    const bomb = gzipSync(Buffer.alloc(20_000_000));
    const says =
      (bytes: Buffer | string, journal: string): Misbehaviour =>
      (socket) => (socket.write(bytes), journal);
    const server = await startHostileServer(context, {
      behaviours: {
        // Not kept open either: a bomb's connection never is.
        fine: (socket) => (socket.end(answer(200, { connection: 'close' })), '200'),
        gzip: says(answer(200, { 'content-encoding': 'gzip' }, bomb), '200'),
        gigabyte: (socket) => {
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${2 ** 30}\r\n\r\n`);
          pour(socket);
          return '200';
        },
        chunks: (socket) => {
          socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
          pour(socket, Buffer.from(`1;${'x'.repeat(8000)}\r\na\r\n`.repeat(8)));
          return '200';
        },
        'big-header': says(answer(200, { 'x-a': 'a'.repeat(17 * 1024) }), '200'),
        'endless-headers': (socket) => {
          socket.write('HTTP/1.1 200 OK\r\n');
          pour(socket, Buffer.from('x-a: 1\r\n'.repeat(8000)));
          return 'headers';
        },
        nul: says(answer(200, { 'x-n': 'a' }, Buffer.from([0x61, 0x00, 0x62])), '200'),
        'no-text': says(answer(200, {}, Buffer.from([0xff, 0xfe, 0xc3, 0x28])), '200'),
        surrogate: says(answer(500, {}, Buffer.from([0xed, 0xa0, 0x80])), '500'),
        switches: says('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n', '101'),
        proto: says(answer(200, { __proto__x: '1', constructor: 'y', ['__proto__']: 'z' }), '200'),
      },
    });
    const bombAt = (path: string) => ({
      url: server.url(`/${path}`),
      attempts: 1,
      endpoint: { retryPolicy: ONE_TRY, timeoutSeconds: 10 },
    });
    const expected: Record<string, Omit<Case, 'url'>> = {
      gzip: { failure: null, statusCode: 200, note: /16384 bytes/ },
      gigabyte: { failure: null, statusCode: 200, note: /16384 bytes/ },
      'big-header': { failure: 'header_overflow', statusCode: null },
      nul: { failure: null, statusCode: 200 },
      'no-text': { failure: null, statusCode: 200 },
      surrogate: { failure: 'http_5xx', statusCode: 500 },
      switches: { failure: 'incomplete_response', statusCode: null },
      proto: { failure: null, statusCode: 200 },
    };
    // Endless where no cap on bodies sees it. libs/delivery/src/http/response-parser.ts does.
    const floods: Record<string, Case> = Object.fromEntries(
      (
        [
          ['chunks', { failure: null, statusCode: 200, note: /./, tookMs: [0, 3500] }],
          ['endless-headers', { failure: 'header_overflow', statusCode: null, tookMs: [0, 3500] }],
        ] as const
      ).map(([name, which]) => [name, { ...bombAt(name), ...which }]),
    );
    const cases: Record<string, Case> = {};
    const each = Math.ceil(AT_ONCE / 4 / Object.keys(expected).length);
    for (const [name, which] of Object.entries(expected))
      for (let n = 0; n < each; n++)
        cases[`${name}${n}`] = {
          ...bombAt(`${name}/${n}`),
          ...which,
        };
    await context.startApi();
    const endpoints = await subscribeCases(context, cases);
    const flooding = await subscribeCases(context, floods, 'floods');
    const ordinary = Array.from({ length: Object.keys(cases).length }, (_, n) => server.url(`/fine/${n}`));
    await context.subscribe(ordinary, 'ordinary');
    const env = { WORKER_CONCURRENCY: '512', WORKER_CONCURRENCY_PER_HOST: '1024' };
    const worker = await context.startWorker({ env });

    // As much traffic as the bombs are, so that what a busy worker needs anyway is not counted.
    const accepted: string[] = [];
    for (let round = 0; round < WARM_UP_ROUNDS; round++) {
      accepted.push(...(await context.publishMany(4, 'ordinary')));
      await context.settled();
    }
    const before = await residentMb(worker.pid);
    const most = watchResident(worker.pid);
    // Four of each: below what opens a circuit.
    accepted.push(...(await context.publishMany(4)));
    await context.settled();
    const growthMb = most() - before;
    const mostInFlood = watchResident(worker.pid);
    accepted.push(...(await context.publishMany(4, 'floods')));
    await context.settled();
    const floodGrowthMb = mostInFlood() - before;

    await judgeCases(context, floods, flooding);
    const { shown, attempts, slowestMs } = await judgeCases(context, cases, endpoints);
    context.check(growthMb < GROWTH_MB_MAX, `the worker grew by ${growthMb} MB`);
    context.check(floodGrowthMb < GROWTH_MB_MAX, `the worker grew by ${floodGrowthMb} MB in a flood`);
    const bodyOf = (name: string) => shown.get(`${name}0`)![0].timeline[0].response!;
    context.check(bodyOf('nul').body === 'a\u2400b', 'NUL is shown', bodyOf('nul'));
    context.check(bodyOf('no-text').encoding === 'base64', 'what is no text is base64', bodyOf('no-text'));
    context.check(bodyOf('gigabyte').body?.length === KEPT_BYTES, 'the beginning of a gigabyte is kept');
    const figures = await context.invariants({ accepted });
    return { ...figures, bombs: attempts, slowestMs, residentMbBefore: before, growthMb, floodGrowthMb };
  },
};

/** Until the other side has had enough, and a gigabyte at most. */
function pour(socket: Socket, chunk = Buffer.alloc(65_536, 'x')): void {
  let left = 2 ** 30;
  const more = (): void => {
    while (!socket.destroyed && left > 0) {
      left -= chunk.length;
      if (!socket.write(chunk)) return void socket.once('drain', more);
    }
  };
  more();
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}

/** Looks often until it is asked for the most that it saw. */
function watchResident(pid: number): () => number {
  let most = 0;
  const timer = setInterval(() => void residentMb(pid).then((mb) => (most = Math.max(most, mb))), 25);
  timer.unref();
  return () => {
    clearInterval(timer);
    return most;
  };
}
