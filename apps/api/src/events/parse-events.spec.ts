import 'reflect-metadata';
import { EVENT_KEYS_MAX, Problem } from '@app/contracts';
import { describe, expect, it } from 'vitest';
import { parseBatch, parseEvent } from './parse-events.js';

const NOW_MS = Date.UTC(2026, 10, 22);
const parse = (more: object) =>
  parseEvent(JSON.stringify({ subscriber: 'acme', type: 'a.b', data: 1, ...more }), NOW_MS, null);

describe('priority and orderingKey', () => {
  it.each([
    [{}, { priority: 'normal', orderingKey: null }],
    [
      { priority: null, orderingKey: null },
      { priority: 'normal', orderingKey: null },
    ],
    [{ priority: 'normal' }, { priority: 'normal' }],
    [
      { priority: 'critical', orderingKey: 'k' },
      { priority: 'critical', orderingKey: 'k' },
    ],
    [{ orderingKey: '😀'.repeat(64) }, { orderingKey: '😀'.repeat(64) }],
    [{ orderingKey: ' ' }, { orderingKey: ' ' }],
  ])('of %j', (more, wanted) => expect(parse(more)).toMatchObject(wanted));

  it.each([
    [{ priority: 'urgent' }, '/priority', 'must be critical or normal'],
    [{ priority: 1 }, '/priority', 'must be critical or normal'],
    [{ orderingKey: '' }, '/orderingKey', /1 to 128 characters/],
    [{ orderingKey: 'x'.repeat(129) }, '/orderingKey', /1 to 128 characters/],
    [{ orderingKey: 'a\0b' }, '/orderingKey', /without NUL/],
    [{ orderingKey: '\ud800' }, '/orderingKey', /lone surrogates/],
    [{ orderingKey: 7 }, '/orderingKey', /must be a text/],
  ])('refuses %j', (more, pointer, detail) => {
    const refused = (() => {
      try {
        return parse(more);
      } catch (error) {
        return error;
      }
    })();
    expect(refused).toBeInstanceOf(Problem);
    expect((refused as Problem).extra.errors).toEqual([
      { pointer, detail: typeof detail === 'string' ? detail : expect.stringMatching(detail) },
    ]);
  });

  it('of one event of a batch is that event’s problem alone', () => {
    const event = { subscriber: 'acme', type: 'a.b', data: 1 };
    const [good, bad] = parseBatch(
      JSON.stringify({
        events: [
          { ...event, orderingKey: 'k' },
          { ...event, priority: 'low' },
        ],
      }),
      NOW_MS,
      null,
    );
    expect(good).toMatchObject({ orderingKey: 'k' });
    expect((bad as Problem).extra.errors).toMatchObject([{ pointer: '/events/1/priority' }]);
  });
});

describe('the number of members', () => {
  const members = (n: number) => `{${Array.from({ length: n }, (_, at) => `"${at.toString(36)}":1`).join()}}`;
  const event = (n: number) => `{"subscriber":"acme","type":"a.b","data":${members(n)}}`;

  it('is bounded before anything is parsed', () => {
    expect(parseEvent(event(EVENT_KEYS_MAX - 3), NOW_MS, null).data).toHaveLength(
      members(EVENT_KEYS_MAX - 3).length,
    );
    expect(() => parseEvent(event(EVENT_KEYS_MAX - 2), NOW_MS, null)).toThrow(/^invalid_json.*50000 members/);
    const startedAt = performance.now();
    expect(() => parseEvent(event(100_000), NOW_MS, null)).toThrow(/^invalid_json/);
    const batch = `{"events":[${Array.from({ length: 5 }, () => event(45_000)).join()}]}`;
    expect(() => parseBatch(batch, NOW_MS, null)).toThrow(/^invalid_json.*200000 members/);
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});
