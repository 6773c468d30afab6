// The work that a key makes is counted, not timed: a clock on a busy machine shows nothing.
import * as crypto from 'node:crypto';
import { newId, seededRandom } from '@app/domain';
import { hashKey, makeKeyText } from '@app/endpoints';
import type { Database } from '@app/persistence';
import type { FastifyRequest } from 'fastify';
import { beforeEach, expect, it, vi } from 'vitest';
import { Authentication } from './authentication.js';

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof crypto>();
  return {
    ...real,
    createHash: vi.fn<typeof real.createHash>(real.createHash),
    timingSafeEqual: vi.fn<typeof real.timingSafeEqual>(real.timingSafeEqual),
  };
});

const random = seededRandom(7);
const id = newId(1_795_305_600_000, random);
const right = makeKeyText('key', 'live', id, random);
const previous = makeKeyText('key', 'live', id, random);
const CHOSEN = 'the-key-of-an-operator-of-32-characters';

// Before anything is counted.
const [RIGHT_HASH, PREVIOUS_HASH, CHOSEN_HASH] = [right, previous, CHOSEN].map(hashKey);

const statements: string[] = [];
const rowOf = (hash: Buffer) => ({
  id,
  scopes: ['admin'],
  subscriberId: null,
  hash,
  previousHash: PREVIOUS_HASH,
  networks: [],
  ended: false,
});
const database = {
  prepared: (name: string, _: string, [value]: [string | Buffer]) => {
    statements.push(name);
    const known = typeof value === 'string' ? value === id : value.equals(CHOSEN_HASH);
    return Promise.resolve(known ? [rowOf(typeof value === 'string' ? RIGHT_HASH : CHOSEN_HASH)] : []);
  },
  query: () => Promise.resolve([]),
} as unknown as Database;

const workOf = async (text: string) => {
  const authentication = new Authentication(database, { now: () => new Date() }, 'live');
  const request = {
    headers: { authorization: `Bearer ${text}` },
    ip: '192.0.2.7',
    socket: {},
  } as FastifyRequest;
  const outcome = await authentication.callerOf(request).then(
    () => 'in',
    (error: Error) => error.message,
  );
  return {
    outcome,
    statements: statements.length,
    hashes: vi.mocked(crypto.createHash).mock.calls.length,
    comparisons: vi.mocked(crypto.timingSafeEqual).mock.calls.length,
  };
};
const REFUSED = 'unauthenticated: The API key is unknown, expired or revoked.';

beforeEach(() => {
  statements.length = 0;
  vi.mocked(crypto.createHash).mockClear();
  vi.mocked(crypto.timingSafeEqual).mockClear();
});

it.each([
  ['the right key', () => right, 'in'],
  ['the text before the last rotation', () => previous, 'in'],
  ['another secret of the same id', () => makeKeyText('key', 'live', id, random), REFUSED],
  ['an id that nobody has', () => makeKeyText('key', 'live', newId(1, random), random), REFUSED],
  ['a token that nobody has', () => makeKeyText('token', 'live', newId(2, random), random), REFUSED],
  ["an operator's key", () => CHOSEN, 'in'],
  ["what is no operator's key", () => CHOSEN.toUpperCase(), REFUSED],
])('%s: one look-up, one hash, two comparisons', async (_, text, outcome) => {
  const value = text();
  vi.mocked(crypto.createHash).mockClear();
  expect(await workOf(value)).toEqual({ outcome, statements: 1, hashes: 1, comparisons: 2 });
});

it.each([
  ['of another environment', () => makeKeyText('key', 'test', id, random)],
  ['with a typing error', () => `${right.slice(0, -1)}${right.endsWith('a') ? 'b' : 'a'}`],
])('a key %s is refused in the same words, without a look-up', async (_, text) => {
  expect(await workOf(text())).toMatchObject({ outcome: REFUSED, statements: 0, comparisons: 2 });
});
