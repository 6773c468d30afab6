// Real: c-ares, over UDP on loopback, asking a name server of our own.
import { createSocket } from 'node:dgram';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DnsResolver, parseHosts } from './resolver.js';

const A = 1;
const CNAME = 5;
const AAAA = 28;
const NOERROR = 0;
const SERVFAIL = 2;
const NXDOMAIN = 3;
const REFUSED = 5;

interface Said {
  rcode: number;
  data?: number[][];
  /** Whole records, before those. */
  records?: number[][];
}
const nameBytes = (name: string) => [
  ...name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]),
  0,
];
function record(name: number[], type: number, data: readonly number[]): number[] {
  return [...name, 0, type, 0, 1, 0, 0, 0, 0, data.length >> 8, data.length & 255, ...data];
}

/** By name: what each question gets. `undefined` is silence. */
const zone: Record<string, (type: number) => Said | undefined> = {
  'both.test': (type) => ({
    rcode: NOERROR,
    data:
      type === A
        ? [
            [192, 0, 2, 1],
            [192, 0, 2, 2],
          ]
        : [[0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 1]],
  }),
  'v4.test': (type) => ({ rcode: NOERROR, data: type === A ? [[192, 0, 2, 1]] : [] }),
  'half.test': (type) => (type === A ? { rcode: NOERROR, data: [[192, 0, 2, 1]] } : { rcode: SERVFAIL }),
  'slow6.test': (type) => (type === A ? { rcode: NOERROR, data: [[192, 0, 2, 1]] } : undefined),
  'empty.test': () => ({ rcode: NOERROR, data: [] }),
  'servfail.test': () => ({ rcode: SERVFAIL }),
  'refused.test': () => ({ rcode: REFUSED }),
  'mixed.test': (type) => ({ rcode: type === A ? NXDOMAIN : SERVFAIL }),
  'silent.test': () => undefined,
  // A chain of two, as a zone gives it that wants to lead inside: what counts is where it ends.
  'chain.test': (type) => ({
    rcode: NOERROR,
    records:
      type === A
        ? [
            record(nameBytes('chain.test'), CNAME, nameBytes('middle.test')),
            record(nameBytes('middle.test'), CNAME, nameBytes('end.test')),
            record(nameBytes('end.test'), A, [10, 0, 0, 1]),
          ]
        : [],
  }),
  'many.test': (type) => ({
    rcode: NOERROR,
    data: type === A ? Array.from({ length: 513 }, (_, n) => [192, 0, 2 + (n >> 8), n & 255]) : [],
  }),
  'lazy.test': (type) => ({ rcode: NOERROR, data: type === A ? [[192, 0, 2, 1]] : [] }),
};
const LAZY_MS = 1500;
const server = createSocket('udp4');
let asked: string[] = [];
let address: string;

beforeAll(async () => {
  server.on('message', (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at]; length > 0; length = query[at]!) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const question = query.subarray(12, at + 5);
    const name = labels.join('.').toLowerCase();
    const type = query.readUInt16BE(at + 1);
    asked.push(`${name}/${type === AAAA ? 'AAAA' : 'A'}`);
    const known = zone[name] ?? (name.endsWith('.silent.test') ? zone['silent.test'] : undefined);
    const answer = known === undefined ? { rcode: NXDOMAIN } : known(type);
    if (answer === undefined) return;
    const { data = [], records: whole = [] }: Partial<Said> = answer;
    const records = [...whole, ...data.map((each) => record([0xc0, 12], type, each))];
    const head = [
      query[0],
      query[1],
      0x81,
      0x80 | answer.rcode,
      0,
      1,
      records.length >> 8,
      records.length & 255,
      0,
      0,
      0,
      0,
    ];
    const packet = Buffer.concat([Buffer.from(head), question, Buffer.from(records.flat())]);
    setTimeout(() => server.send(packet, from.port, from.address), name === 'lazy.test' ? LAZY_MS : 0);
  });
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  address = `127.0.0.1:${server.address().port}`;
});
afterAll(() => void server.close());

const resolver = (timeoutMs = 1000) => new DnsResolver('/nonexistent', [address], timeoutMs);

describe('DnsResolver', () => {
  it.each([
    ['both.test', ['192.0.2.1', '192.0.2.2', '2001:db8::1']],
    ['v4.test', ['192.0.2.1']],
    ['V4.Test', ['192.0.2.1']],
    ['chain.test', ['10.0.0.1']],
    // One family's trouble does not take the other's answer away.
    ['half.test', ['192.0.2.1']],
    ['localhost', ['127.0.0.1']],
    ['app.localhost', ['127.0.0.1']],
  ])('%s', async (name, expected) => expect(await resolver().resolve(name)).toEqual(expected));

  it.each([
    ['nowhere.test', 'ENOTFOUND'],
    ['empty.test', 'ENODATA'],
    ['servfail.test', 'ESERVFAIL'],
    ['refused.test', 'EREFUSED'],
    ['mixed.test', 'ESERVFAIL'],
    ['many.test', 'EBADRESP'],
  ])('%s fails with %s', async (name, code) => {
    await expect(resolver().resolve(name)).rejects.toMatchObject({ code });
  });

  it('finds a zone that takes its time, however quick the others were', async () => {
    const patient = resolver(5000);
    for (let quick = 0; quick < 60; quick++) await patient.resolve('v4.test');
    expect(await patient.resolve('lazy.test')).toEqual(['192.0.2.1']);
  });

  it('fifty zones that never answer keep nobody waiting, and are given up', async () => {
    const one = resolver(1500);
    const startedAt = performance.now();
    const took = () => performance.now() - startedAt;
    const silent = Array.from({ length: 50 }, (_, n) =>
      one.resolve(`n${n}.silent.test`).catch((e: Error) => e),
    );
    expect(await one.resolve('v4.test')).toEqual(['192.0.2.1']);
    expect(took()).toBeLessThan(1000);
    for (const error of await Promise.all(silent)) expect(error).toMatchObject({ code: 'ETIMEOUT' });
    expect(took()).toBeLessThan(3000);
  });

  it('is bounded, and keeps what one family did answer', async () => {
    const startedAt = performance.now();
    await expect(resolver(200).resolve('silent.test')).rejects.toMatchObject({ code: 'ETIMEOUT' });
    expect(await resolver(200).resolve('slow6.test')).toEqual(['192.0.2.1']);
    expect(performance.now() - startedAt).toBeLessThan(1500);
  });

  it('asks once for all who ask at the same time, and again for who asks later', async () => {
    asked = [];
    const one = resolver();
    await Promise.all(Array.from({ length: 50 }, () => one.resolve('v4.test')));
    expect(asked.toSorted()).toEqual(['v4.test/A', 'v4.test/AAAA']);
    await one.resolve('v4.test');
    expect(asked).toHaveLength(4);
  });

  it('never adds a search domain', async () => {
    asked = [];
    await expect(resolver().resolve('short')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    expect(asked.toSorted()).toEqual(['short/A', 'short/AAAA']);
  });

  it('knows the hosts file', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'posthorn-')), 'hosts');
    writeFileSync(file, '127.0.0.1 localhost\n10.1.1.1\treceiver.internal receiver # mine\n');
    asked = [];
    expect(await new DnsResolver(file, [address]).resolve('receiver')).toEqual(['10.1.1.1']);
    expect(asked).toEqual([]);
  });
});

it('parses hosts(5)', () => {
  const text = '# c\n\n127.0.0.1 a B\n::1 a\n127.0.0.1 a\nnonsense x\n10.0.0.1#a\n10.0.0.2 c#d\r\n';
  expect([...parseHosts(text)]).toEqual([
    ['a', ['127.0.0.1', '::1']],
    ['b', ['127.0.0.1']],
    ['c', ['10.0.0.2']],
  ]);
});
