import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementSpans, memberSpans } from './raw-json.js';

function slices(text: string): Record<string, string> {
  return Object.fromEntries(
    [...memberSpans(text)].map(([name, span]) => [name, text.slice(span.start, span.end)]),
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
