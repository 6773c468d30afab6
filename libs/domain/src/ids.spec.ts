import fc from 'fast-check';
import { TypeID } from 'typeid-js';
import { validate, version } from 'uuid';
import { describe, expect, it } from 'vitest';
import { fromPublicId, ID_PREFIXES, isUuid, newId, toPublicId, uuidFloor, uuidTimeMs } from './ids.js';
import { seededRandom, systemRandom } from './random.js';

const prefixes = Object.values(ID_PREFIXES);
const ms = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const uuid = fc.uuid();

describe('newId', () => {
  it('is a lower-case UUIDv7 of exactly the millisecond it was given', () => {
    fc.assert(
      fc.property(ms, (at) => {
        const id = newId(at, systemRandom);
        expect(validate(id) && version(id) === 7 && isUuid(id)).toBe(true);
        expect(uuidTimeMs(id)).toBe(at);
        expect(id >= uuidFloor(at)).toBe(true);
        if (at < 2 ** 48 - 1) expect(id < uuidFloor(at + 1)).toBe(true);
      }),
    );
  });

  it('sorts ids of one millisecond in the order they were made', () => {
    const random = seededRandom(7);
    const ids = Array.from({ length: 20_000 }, () => newId(1_763_800_000_000, random));
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('carries its own time also when the clock steps back', () => {
    newId(2_000_000, systemRandom);
    expect(uuidTimeMs(newId(1_000_000, systemRandom))).toBe(1_000_000);
  });
});

describe('public ids', () => {
  it('are what typeid-js writes, and come back', () => {
    fc.assert(
      fc.property(fc.constantFrom(...prefixes), uuid, (prefix, id) => {
        const text = toPublicId(prefix, id);
        expect(text).toBe(TypeID.fromUUID(prefix, id).toString());
        expect(fromPublicId(prefix, text)).toBe(id);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['nil', 'evt_00000000000000000000000000', '00000000-0000-0000-0000-000000000000'],
    ['largest', 'evt_7zzzzzzzzzzzzzzzzzzzzzzzzz', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
    ['overflow', 'evt_80000000000000000000000000', undefined],
    ['upper case', 'evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ', undefined],
    ['upper-case prefix', 'EVT_00000000000000000000000000', undefined],
    ['another prefix', 'dlv_00000000000000000000000000', undefined],
    ['no prefix', '00000000000000000000000000', undefined],
    ['letters base32 has not', 'evt_0000000000000000000000000i', undefined],
    ['too short', 'evt_0000000000000000000000000', undefined],
    ['too long', 'evt_000000000000000000000000000', undefined],
    ['a dash for the separator', 'evt-00000000000000000000000000', undefined],
    ['a blank', 'evt_0000000000000 000000000000', undefined],
    ['beyond ASCII', 'evt_0000000000000é000000000000', undefined],
    ['a plain uuid', '01890a5d-ac96-774b-bcce-b302099a8057', undefined],
    ['nothing', '', undefined],
  ])('%s', (_name, text, expected) => {
    expect(fromPublicId('evt', text)).toBe(expected);
  });

  it('never throw and never have two spellings, whatever the text', () => {
    const near = fc.stringMatching(/^evt_[0-9a-zA-Z_]{24,28}$/);
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (text) => {
        const id = fromPublicId('evt', text);
        if (id !== undefined) expect(toPublicId('evt', id)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });
});

it('is fast enough for the hot path', () => {
  // 200,000/s is far below what was measured (see ids.ts), so that only a real mistake fails on a busy machine.
  const id = newId(1_763_800_000_000, systemRandom);
  const text = toPublicId('dlv', id);
  for (const work of [
    () => newId(1, systemRandom),
    () => toPublicId('dlv', id),
    () => fromPublicId('dlv', text),
  ]) {
    for (let i = 0; i < 10_000; i++) work();
    const startedAt = performance.now();
    for (let i = 0; i < 50_000; i++) work();
    expect(50_000 / ((performance.now() - startedAt) / 1000)).toBeGreaterThan(200_000);
  }
});

it('refuses times a uuid cannot hold', () => {
  expect(() => uuidFloor(-1)).toThrow(/Bug/);
  expect(() => uuidFloor(2 ** 48)).toThrow(/Bug/);
  expect(uuidFloor(0)).toBe('00000000-0000-0000-0000-000000000000');
});
