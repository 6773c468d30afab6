import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeksError, Keyring, newKekText, parseKeks, SealError, type Place } from './index.js';

let seed = 1;
const random = {
  bytes: (n: number) => Uint8Array.from({ length: n }, () => (seed = (seed * 75 + 74) % 65537) & 255),
};
const one = newKekText(random);
const two = newKekText(random);
const ringOf = (...texts: string[]) => new Keyring(parseKeks(texts.join(',')), random);
const ring = ringOf(one);
const row = ring.make('s1');
const key = ring.unwrap(row);
const place: Place = { table: 'endpoints', row: 'e1', column: 'headers_sealed' };

describe('a sealed value', () => {
  it('opens to the same text, whatever it is', () => {
    const text = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(text, (each) => {
        expect(key.open(place, key.seal(place, each))).toBe(each);
      }),
    );
  });

  it('never looks the same twice, and shows nothing of the text', () => {
    const [a, b] = [key.seal(place, 'hunter2hunter2'), key.seal(place, 'hunter2hunter2')];
    expect(a.equals(b)).toBe(false);
    expect(a.toString('latin1')).not.toContain('hunter2');
    expect(a).toHaveLength(14 + 29);
  });

  it('does not open with any byte changed, cut short or made longer', () => {
    const sealed = key.seal(place, 'secret');
    for (let at = 0; at < sealed.length; at++)
      for (const bit of [1, 128]) {
        const changed = Buffer.from(sealed);
        changed[at] ^= bit;
        expect(() => key.open(place, changed)).toThrow(SealError);
      }
    for (let length = 0; length < sealed.length; length++)
      expect(() => key.open(place, sealed.subarray(0, length))).toThrow(SealError);
    expect(() => key.open(place, Buffer.concat([sealed, Buffer.of(0)]))).toThrow(SealError);
  });

  it('opens at its own place only, however the names of two places run together', () => {
    const name = fc.string({ unit: fc.constantFrom('a', '"', ',', '|', '\\', '\0'), maxLength: 4 });
    const places = fc.record({ table: name, row: name, column: name });
    fc.assert(
      fc.property(places, places, (a, b) => {
        fc.pre(JSON.stringify(a) !== JSON.stringify(b));
        expect(() => key.open(b, key.seal(a, 'x'))).toThrow(SealError);
      }),
    );
  });

  it('does not open for another subscriber, even with the same key bytes', () => {
    expect(() => ring.unwrap(ring.make('s2')).open(place, key.seal(place, 'x'))).toThrow(SealError);
    expect(() => ring.unwrap({ ...row, subscriberId: 's2' })).toThrow(SealError);
  });
});

describe('a data key', () => {
  it('is wrapped anew by the primary KEK and opens the same values', () => {
    const sealed = key.seal(place, 'kept');
    const rewrapped = ringOf(two, one).rewrap(row);
    expect(rewrapped.kekId).toBe(two.split(':')[0]);
    expect(ringOf(two).unwrap(rewrapped).open(place, sealed)).toBe('kept');
    expect(() => ring.unwrap(rewrapped)).toThrow(/no key with the id/);
  });

  it('does not unwrap by another KEK of the same id, nor with any byte changed', () => {
    const wrong = `${one.split(':')[0]}:${two.split(':')[1]}`;
    expect(() => ringOf(wrong).unwrap(row)).toThrow(SealError);
    for (let at = 0; at < row.wrapped.length; at++) {
      const wrapped = Buffer.from(row.wrapped);
      wrapped[at] ^= 1;
      expect(() => ring.unwrap({ ...row, wrapped })).toThrow(SealError);
    }
  });

  it('is a key of values, not a value: neither opens as the other', () => {
    expect(() => key.open(place, row.wrapped)).toThrow(SealError);
    expect(() => ring.unwrap({ ...row, wrapped: key.seal(place, 'x'.repeat(32)) })).toThrow(SealError);
  });

  it('and a keyring print nothing of themselves', () => {
    const secret = Buffer.from(one.split(':')[1], 'base64');
    for (const text of [inspect([ring, key], { depth: 9, showHidden: true }), JSON.stringify([ring, key])])
      for (const form of ['base64', 'hex', 'latin1'] as const)
        expect(text).not.toContain(secret.toString(form));
  });
});

describe('parseKeks', () => {
  const base64 = two.split(':')[1];

  it('reads ids and keys, the primary one first, by commas or lines', () => {
    expect(parseKeks(`${one}, ${two}`).map(({ id }) => id)).toEqual([one.split(':')[0], two.split(':')[0]]);
    expect(parseKeks(`${one}\n${two}\n`)).toEqual(parseKeks(`${one},${two}`));
  });

  it.each([
    ['nothing', ' , ', /1 to 16 keys/],
    ['too many', Array.from({ length: 17 }, () => newKekText(random)).join(), /1 to 16 keys/],
    ['no id', base64, /key 1 must begin with an id/],
    ['an id in capitals', `K1:${base64}`, /key 1 must begin with an id/],
    ['a long id', `${'k'.repeat(33)}:${base64}`, /key 1 must begin with an id/],
    ['a short key', `${one},k2:${Buffer.alloc(31, 'ab').toString('base64')}`, /key 2 must be 32 bytes/],
    ['a long key', `k2:${Buffer.alloc(33, 'ab').toString('base64')}`, /key 1 must be 32 bytes/],
    ['another spelling', `k2:${base64.slice(0, -1)}`, /key 1 must be 32 bytes/],
    ['zeros', `k2:${Buffer.alloc(32).toString('base64')}`, /all its bytes are equal/],
    ['an id twice', `k2:${base64},k2:${one.split(':')[1]}`, /an id twice/],
    ['a key twice', `k2:${base64},k3:${base64}`, /a key twice/],
  ])('refuses %s without repeating it', (_name, text, message) => {
    const attempt = (): unknown => parseKeks(text);
    expect(attempt).toThrow(KeksError);
    expect(attempt).toThrow(message);
    expect(attempt).not.toThrow(base64.slice(0, -2));
  });
});
