import 'reflect-metadata';
import { PublishEventDto } from '@app/dto';
import { validateSync } from 'class-validator';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isPlainlyRight } from './plainly-right.js';

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.stringMatching(/^[ -~]{0,3}$/),
  fc.integer({ min: 0, max: 300 }).map((length) => 'x'.repeat(length)),
  fc.constantFrom('', '\0', '\ufe0f', '\ud800', 'é', 'a.b', 'a..b', 'evt_1', 'normal', 'critical', 'urgent'),
);
const instant = fc.oneof(
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc
    .tuple(fc.nat(99), fc.nat(13), fc.nat(32), fc.nat(25), fc.nat(61))
    .map((parts) => parts.map((part) => String(part).padStart(2, '0')))
    .map(([year, month, day, hour, minute]) => `20${year}-${month}-${day}T${hour}:${minute}:00Z`),
  fc.constantFrom(
    '2026-02-30T00:00:00Z',
    '2026-W48-4',
    '2026-11-26',
    '2026-11-26T12:00:60Z',
    '2026-11-26T24:00:00Z',
  ),
);
const field = fc.oneof(text, instant, fc.constantFrom<unknown>(null, undefined, 1, true, [], {}));
const RIGHT = { subscriber: 'acme', type: 'a.b', data: 1 };
/** Right but for what one field may be. */
const event = fc
  .tuple(
    fc.constantFrom('subscriber', 'type', 'version', 'occurredAt', 'id', 'priority', 'orderingKey'),
    field,
  )
  .map(([name, value]): Record<string, unknown> => ({ ...RIGHT, [name]: value }));

it('lets nothing pass that a rule of an event refuses', () => {
  fc.assert(
    fc.property(event, (value) => {
      if (!isPlainlyRight(value)) return;
      expect(validateSync(Object.assign(new PublishEventDto(), value))).toEqual([]);
      if (value.occurredAt !== undefined) expect(Date.parse(value.occurredAt)).not.toBeNaN();
    }),
    { numRuns: 5000 },
  );
});

it.each([
  { subscriber: 'acme', type: 'invoice.paid', data: null },
  {
    data: {},
    type: 'a',
    subscriber: 'sub_1',
    version: '2',
    id: 'evt_1',
    priority: 'critical',
    orderingKey: 'a b',
  },
  { subscriber: 'acme', type: 'a', data: 1, occurredAt: '2028-02-29T23:59:59.999Z' },
])('knows an ordinary event: %j', (value) => expect(isPlainlyRight(value)).toBe(true));

it.each([
  { subscriber: 'acme', type: 'a' },
  { subscriber: 'acme', data: 1 },
  { type: 'a', data: 1 },
  { subscriber: 'acme', type: 'a', data: 1, note: '' },
  JSON.parse('{"subscriber":"acme","type":"a","data":1,"__proto__":{}}') as Record<string, unknown>,
])('leaves to the rules what lacks a field or has one too many: %j', (value) =>
  expect(isPlainlyRight(value)).toBe(false),
);
