import { JSON_DEPTH_MAX, JSON_KEYS_MAX } from '@app/contracts';
import { describe, expect, it } from 'vitest';
import { parseJson } from './json-body.js';

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

describe('parseJson', () => {
  it('takes what JSON.parse takes, up to the depth', () => {
    for (const text of [
      '{"a":[1,{"b":null}]}',
      '"[[[["',
      '"\\"[["',
      '{"proto":"__proto__"}',
      nested(JSON_DEPTH_MAX),
    ])
      expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  it.each([
    '{',
    '',
    '{"a":1,}',
    '{"__proto__":{}}',
    '[{"a":{"__proto__":1}}]',
    '{"\\u005f\\u005fproto__":1}',
    nested(JSON_DEPTH_MAX + 1),
    '['.repeat(200_000),
    `{${Array.from({ length: JSON_KEYS_MAX + 1 }, (_, at) => `"${at}":0`).join()}}`,
  ])('refuses %.40s', (text) => expect(() => parseJson(text)).toThrow(/^invalid_json/));

  it('looks at a body full of escapes in linear time', () => {
    const startedAt = performance.now();
    parseJson(`{"a":"${'\\u0041'.repeat(20_000)}"}`);
    expect(performance.now() - startedAt).toBeLessThan(100);
  });

  it('tells the place of an error, never the text around it', () => {
    expect(() => parseJson('{"password":"hunter2" x}')).toThrow(/character \d+/);
    expect(() => parseJson('{"password":"hunter2" x}')).not.toThrow(/hunter2/);
  });
});
