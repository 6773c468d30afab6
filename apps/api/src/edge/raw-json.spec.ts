import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementSpans, hasMoreKeysThan, memberSpan, shapeOf } from './raw-json.js';

function slices(text: string): Record<string, string> {
  return Object.fromEntries(
    Object.keys(JSON.parse(text) as object).map((name) => {
      const { start, end } = memberSpan(text, name)!;
      return [name, text.slice(start, end)];
    }),
  );
}

describe('raw JSON', () => {
  it('cuts values out as they are written', () => {
    const text = ' { "a" : 1.0 , "data" :\n {"b":[1,{"}":"\\"]"}], "n":12345678901234567890} , "c":"x\\\\" }';
    expect(slices(text)).toEqual({
      a: '1.0',
      data: '{"b":[1,{"}":"\\"]"}], "n":12345678901234567890}',
      c: '"x\\\\"',
    });
  });

  it('takes the last of a name that stands twice, also when one is escaped', () => {
    expect(slices('{"data":1,"d\\u0061ta":2}')).toEqual({ data: '2' });
  });

  it('survives nesting that would overflow a recursion', () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000);
    expect(slices(`{"data":${deep},"z":0}`)).toEqual({ data: deep, z: '0' });
  });

  it('agrees with JSON.parse on every object and array', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.constantFrom(undefined, 1, '\t'),
        (value, indent) => {
          const text = JSON.stringify(value, null, indent);
          const parsed = Object.fromEntries(
            Object.entries(slices(text)).map(([name, slice]) => [name, JSON.parse(slice) as unknown]),
          );
          expect(parsed).toEqual(JSON.parse(text));
          const array = JSON.stringify(Object.values(value), null, indent);
          expect(
            elementSpans(array, 0).map((span) => JSON.parse(array.slice(span.start, span.end)) as unknown),
          ).toEqual(JSON.parse(array));
        },
      ),
    );
  });
});

describe('the shape of a text', () => {
  function shapeOfValue(value: unknown): { depth: number; keys: number } {
    if (typeof value !== 'object' || value === null) return { depth: 0, keys: 0 };
    const inner = Object.values(value).map(shapeOfValue);
    return {
      depth: 1 + Math.max(0, ...inner.map(({ depth }) => depth)),
      keys: inner.reduce((sum, { keys }) => sum + keys, Array.isArray(value) ? 0 : inner.length),
    };
  }

  it('agrees with JSON.parse', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1), (value, indent) => {
        expect(shapeOf(JSON.stringify(value, null, indent))).toEqual(shapeOfValue(value));
      }),
    );
  });

  it.each(['{"a', '"', '"\\', '{"a":{"b', ']]]]', '\\"":::'])('is told of %j, which is no JSON', (text) => {
    expect(shapeOf(text).keys).toBeLessThan(4);
  });

  it('counts at most what it must', () => {
    const members = (n: number) => `{${Array.from({ length: n }, (_, at) => `"${at}":0`).join()}}`;
    expect(hasMoreKeysThan(members(1000), 1000)).toBe(false);
    expect(hasMoreKeysThan(members(1001), 1000)).toBe(true);
    // The shortest there are, and the longest that is not looked at.
    const shortest = `{${'"":0,'.repeat(1000)}"":0}`;
    expect(hasMoreKeysThan(shortest, 1000)).toBe(true);
    expect(hasMoreKeysThan(`"${':'.repeat(100_000)}"`, 1000)).toBe(false);
  });
});
