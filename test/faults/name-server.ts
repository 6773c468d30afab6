import { createSocket } from 'node:dgram';
import { isIPv6, createServer, type AddressInfo, type Socket } from 'node:net';
import type { FaultContext, StartOptions } from './fault-context.js';

/** What is said to one question. */
export type NameAnswer =
  | { readonly addresses: readonly string[]; readonly afterMs?: number }
  | { readonly code: 'SERVFAIL' | 'NXDOMAIN' | 'REFUSED' }
  | 'silence';

/** Of a name: by type, `n` counts the questions of that name and type from 1. */
export type Zone = Readonly<Record<string, (type: 'A' | 'AAAA', n: number) => NameAnswer>>;

export interface NameServer {
  /** For a worker that is to ask it. */
  readonly options: StartOptions;
  /** How often a name was asked for, by `A name`. */
  readonly questions: ReadonlyMap<string, number>;
  /** Of these, over TCP: what did not fit into a datagram. */
  readonly overTcp: number;
}

const CODES = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const;
const TYPES = { 1: 'A', 28: 'AAAA' } as const;
// What c-ares says it takes in a datagram.
const DATAGRAM_BYTES_MAX = 1232;
const TRUNCATED = 0x0200;

/** Answers for a few names, well or badly, over UDP and TCP on loopback; for any other there is no such name. */
export async function startNameServer(context: FaultContext, zone: Zone): Promise<NameServer> {
  const questions = new Map<string, number>();
  let overTcp = 0;

  function answer(query: Buffer, send: (reply: Buffer) => void): void {
    const question = readQuestion(query);
    if (!question) return;
    const key = `${question.type} ${question.name}`;
    const n = (questions.get(key) ?? 0) + 1;
    questions.set(key, n);
    const said = zone[question.name]?.(question.type, n) ?? { code: 'NXDOMAIN' };
    if (said === 'silence') return;
    if ('code' in said) send(reply(query, question.end, CODES[said.code], []));
    else setTimeout(() => send(reply(query, question.end, 0, said.addresses)), said.afterMs ?? 0).unref();
  }

  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (; bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE();) {
        const query = bytes.subarray(2, 2 + bytes.readUInt16BE());
        bytes = bytes.subarray(2 + query.length);
        overTcp++;
        answer(query, (message) => {
          const length = Buffer.alloc(2);
          length.writeUInt16BE(message.length);
          if (!socket.destroyed) socket.write(Buffer.concat([length, message]));
        });
      }
    });
  });
  const udp = createSocket('udp4');
  let closed = false;
  udp.on('message', (query, peer) =>
    answer(query, (message) => {
      const fits = message.length <= DATAGRAM_BYTES_MAX;
      if (!closed) udp.send(fits ? message : truncated(query), peer.port, peer.address);
    }),
  );
  await context.own(
    async () => {
      await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
      const { port } = tcp.address() as AddressInfo;
      await new Promise<void>((resolve, reject) => {
        udp.once('error', reject);
        udp.bind(port, '127.0.0.1', resolve);
      });
    },
    async () => {
      closed = true;
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => tcp.close(resolve));
      await new Promise<void>((resolve) => udp.close(resolve));
    },
  );
  const { port } = tcp.address() as AddressInfo;
  return {
    options: { launch: { preload: ['test/faults/stub-dns.js'] }, env: { STUB_DNS: `127.0.0.1:${port}` } },
    questions,
    get overTcp() {
      return overTcp;
    },
  };
}

interface Question {
  readonly name: string;
  readonly type: 'A' | 'AAAA';
  /** Where it ends in the message. */
  readonly end: number;
}

function readQuestion(query: Buffer): Question | null {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]; length > 0; length = query[at]) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = TYPES[query.readUInt16BE(at + 1) as keyof typeof TYPES];
  return type ? { name: labels.join('.').toLowerCase(), type, end: at + 5 } : null;
}

function reply(
  query: Buffer,
  questionEnd: number,
  code: number,
  addresses: readonly string[],
  flags = 0,
): Buffer {
  const head = Buffer.from(query.subarray(0, questionEnd));
  head.writeUInt16BE(0x8180 | flags | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(addresses.length, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, ...addresses.map(record)]);
}

const truncated = (query: Buffer): Buffer => reply(query, readQuestion(query)!.end, 0, [], TRUNCATED);

/** For the name of the question, and never to be kept. */
function record(address: string): Buffer {
  const data = isIPv6(address) ? bytesOfV6(address) : Buffer.from(address.split('.').map(Number));
  const head = Buffer.from([0xc0, 0x0c, 0, data.length === 16 ? 28 : 1, 0, 1, 0, 0, 0, 0, 0, data.length]);
  return Buffer.concat([head, data]);
}

/** `a:b::c`, also with an IPv4 address at its end. */
function bytesOfV6(text: string): Buffer {
  const plain = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts: string[]) => {
    const [a, b, c, d] = parts.map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  const [front, back = ''] = plain.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const missing = plain.includes('::') ? 8 - front.length - back.length : 0;
  const groups = [...front, ...Array<string>(missing).fill('0'), ...back];
  return Buffer.from(groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]));
}
