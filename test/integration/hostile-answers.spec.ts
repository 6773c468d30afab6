// Real: the sender in a process of its own, and 200 receivers at once, on the level of sockets, that try to fill its memory.
// Its growth is read from its own process while it lasts: resident (what an operator's limit sees, garbage included) and
// reachable (after a collection). A warm-up of as many ordinary answers comes first, so that what 200 connections need anyway
// is not counted.
import net from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { forkCallable, type CallableChild } from '../support/child.js';
import type { SenderCalls } from '../support/sender/sender.main.js';

const AT_ONCE = 200;
const GROWTH_MB_MAX = 50;
// A head that never ends is cut by the deadline; all else ends by itself, on a busy machine later.
const LATE_HEAD_MS = 1500;
const DEADLINE_MS = 15_000;

let sender: CallableChild<SenderCalls>;
let port: number;
let server: net.Server;
const sockets = new Set<net.Socket>();

const ok = (more: string, body: Buffer | string = ''): Buffer =>
  Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${more}\r\n`), Buffer.from(body)]);
const bomb = gzipSync(Buffer.alloc(20_000_000));
const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
const sixLayers = `content-encoding: gzip, br, deflate, gzip, br, gzip\r\ncontent-length: ${bomb.length}\r\n`;

interface Hostility {
  readonly says: (socket: net.Socket) => void;
  /** Each outcome begins with one of these. */
  readonly outcomes: readonly string[];
}
const says = (bytes: Buffer | string, ...outcomes: string[]): Hostility => ({
  says: (socket) => void socket.write(bytes),
  outcomes,
});
const pours = (first: string, chunk: Buffer | string, ...outcomes: string[]): Hostility => ({
  says: (socket) => (socket.write(first), pour(socket, Buffer.from(chunk))),
  outcomes,
});

const DELIVERED = 'delivered: ';
const CUT = 'delivered: only the first 16384 bytes';
const OVERFLOW = 'header_overflow: more than';
const BROKE_OFF = 'delivered: the response body broke off: more than';
const LATE_HEAD = 'header_timeout: ';
const LATE_BODY = 'delivered: the response body did not end in time';
const GARBLED = 'incomplete_response: not HTTP/1.1';

const HOSTILE: Record<string, Hostility> = {
  'a gzip bomb': says(ok(`content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n`, bomb), CUT),
  'six layers of encodings': says(ok(sixLayers, bomb), CUT),
  'ten megabytes': pours('HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n', Buffer.alloc(65_536), CUT),
  'NUL bytes': says(ok('content-length: 8\r\n', Buffer.alloc(8)), DELIVERED),
  'bytes that are not UTF-8': says(
    ok('content-length: 4\r\n', Buffer.from([0xff, 0xfe, 0xc3, 0x28])),
    DELIVERED,
  ),
  'a header of 17 KB': says(ok(`x-a: ${'a'.repeat(17_000)}\r\ncontent-length: 0\r\n`), OVERFLOW),
  'a flood of headers': pours('HTTP/1.1 200 OK\r\n', 'a:\r\n'.repeat(16_000), OVERFLOW),
  'headers just below the bound, never ended': says(`HTTP/1.1 200 OK\r\n${'a:\r\n'.repeat(250)}`, LATE_HEAD),
  'a flood of 1xx': pours(
    '',
    'HTTP/1.1 102 Processing\r\n\r\n'.repeat(2000),
    'incomplete_response: endless 1xx',
  ),
  'a flood of 100 Continue': pours(
    '',
    'HTTP/1.1 100 Continue\r\n\r\n'.repeat(2000),
    'incomplete_response: endless 1xx',
  ),
  'chunk extensions without end': pours(chunked, `1;${'x'.repeat(8000)}\r\na\r\n`.repeat(8), BROKE_OFF),
  'one chunk size of zeros without end': pours(chunked, '0'.repeat(65_536), BROKE_OFF),
  'a body in chunks of a byte': says(`${chunked}${'1\r\nx\r\n'.repeat(16_000)}1\r\n`, LATE_BODY),
  'a flood of trailers': pours(`${chunked}0\r\n`, 'a:\r\n'.repeat(16_000), BROKE_OFF),
  'a bad chunk': says(`${chunked}2\r\nok\r\nzz\r\n`, 'delivered: the response body broke off: not HTTP/1.1'),
  'a drip of body': {
    says: (socket) => (socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n'), drip(socket, 'x')),
    outcomes: [LATE_BODY],
  },
  'a drip of headers': {
    says: (socket) => (socket.write('HTTP/1.1 200 OK\r\n'), drip(socket, 'x-a: b\r\n')),
    outcomes: [LATE_HEAD],
  },
  'two lengths': says(
    'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx',
    'incomplete_response: more than one body length',
  ),
  'a switch of protocols': says(
    'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    'incomplete_response: unasked switch of protocols',
  ),
  'HTTP/0.9 without end': pours('', '<html>'.repeat(10_000), GARBLED),
  'a 204 with a body': pours('HTTP/1.1 204 No Content\r\n\r\n', Buffer.alloc(65_536, 'x'), DELIVERED),
  'header values in latin-1': says(
    Buffer.from('HTTP/1.1 200 OK\r\nx-name: M\xfcller\r\ncontent-length: 0\r\n\r\n', 'latin1'),
    DELIVERED,
  ),
};

beforeAll(async () => {
  server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.on('data', (head) => {
      const name = decodeURIComponent(String(head).split(' ', 2)[1].slice(1));
      if (name === 'fine')
        socket.end(ok('connection: close\r\ncontent-length: 16384\r\n', Buffer.alloc(16_384, 'x')));
      else HOSTILE[name].says(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, resolve));
  port = (server.address() as net.AddressInfo).port;
  sender = await forkCallable<SenderCalls>('test/support/sender/sender.main.js');
  for (let round = 0; round < 4; round++) await send('fine');
});

afterAll(async () => {
  await sender.stop();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const send = (name: string, deadlineMs = DEADLINE_MS) =>
  sender.call('send', {
    url: `http://127.0.0.1:${port}/${encodeURIComponent(name)}`,
    times: AT_ONCE,
    deadlineMs,
  });

describe('200 receivers at once answer with', () => {
  it.each(Object.keys(HOSTILE))(
    '%s: bounded in time and memory, each attempt with its outcome',
    async (name) => {
      const deadlineMs = HOSTILE[name].outcomes.includes(LATE_HEAD) ? LATE_HEAD_MS : DEADLINE_MS;
      const { outcomes, slowestMs, residentGrowthMb, liveGrowthMb } = await send(name, deadlineMs);
      const unexpected = Object.keys(outcomes).filter(
        (outcome) => !HOSTILE[name].outcomes.some((expected) => outcome.startsWith(expected)),
      );
      expect(unexpected).toEqual([]);
      expect(residentGrowthMb).toBeLessThan(GROWTH_MB_MAX);
      expect(liveGrowthMb).toBeLessThan(GROWTH_MB_MAX);
      // The deadline, and what 200 sockets at once take on a busy machine.
      expect(slowestMs).toBeLessThan(deadlineMs + 3000);
    },
  );
});

/** Until the other side has had enough, and 100 MB at most. */
function pour(socket: net.Socket, chunk: Buffer): void {
  let left = 100 * 2 ** 20;
  const more = (): void => {
    while (!socket.destroyed && left > 0) {
      left -= chunk.length;
      if (!socket.write(chunk)) return void socket.once('drain', more);
    }
  };
  more();
}

function drip(socket: net.Socket, drop: string): void {
  const timer = setInterval(() => socket.write(drop), 100);
  socket.on('close', () => clearInterval(timer));
}
