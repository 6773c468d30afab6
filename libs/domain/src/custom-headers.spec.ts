import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkCustomHeaders } from './custom-headers.js';

interface HeaderCase {
  name: string;
  value: string;
  allowed: boolean;
  why: string;
}
const cases = JSON.parse(readFileSync(resolve('../shared/data/header-cases.json'), 'utf8')) as HeaderCase[];

describe('checkCustomHeaders', () => {
  it.each(cases.map((each) => [each.name, each.allowed, each.why, each.value] as const))(
    '%j %s (%s)',
    (name, ok, _why, value) => {
      expect(checkCustomHeaders({ [name]: value }).length === 0).toBe(ok);
      // Reserved whatever the case.
      if (!ok) expect(checkCustomHeaders({ [name.toUpperCase()]: value })).not.toEqual([]);
    },
  );

  it.each([
    ...'transfer-encoding content-length expect accept-encoding traceparent posthorn-delivery webhook-signature'.split(
      ' ',
    ),
    ...'sec-fetch-site proxy-foo metadata metadata-flavor x-ms-version x-goog-foo cf-connecting-ip'.split(
      ' ',
    ),
  ])('%s is reserved', (name) =>
    expect(checkCustomHeaders({ [name]: 'x' })).toMatchObject([{ code: 'reserved_name' }]),
  );

  it.each(['authorization', 'x-api-key', 'accept', 'x-tenant', 'toString', 'hasOwnProperty'])(
    '%s is fine',
    (name) => {
      expect(checkCustomHeaders({ [name]: 'x' })).toEqual([]);
    },
  );

  it('sees __proto__ as the header name JSON makes of it, and refuses it', () => {
    const headers = JSON.parse('{"__proto__":"x"}') as Record<string, string>;
    expect(checkCustomHeaders(headers)).toMatchObject([{ name: '__proto__', code: 'reserved_name' }]);
    expect(
      checkCustomHeaders(Object.create({ inherited: 'bad value \n' }) as Record<string, string>),
    ).toEqual([]);
  });

  it('counts names without their case', () => {
    expect(checkCustomHeaders({ 'X-A': '1', 'x-a': '2' })).toMatchObject([
      { name: 'x-a', code: 'duplicate_name' },
    ]);
  });

  it('bounds number, names and values', () => {
    const many = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`x-${i}`, 'v']));
    expect(checkCustomHeaders(many(20))).toEqual([]);
    expect(checkCustomHeaders(many(21))).toMatchObject([{ code: 'too_many' }]);
    expect(checkCustomHeaders({ 'x-a': 'v'.repeat(4096) })).toEqual([]);
    expect(checkCustomHeaders({ 'x-a': 'v'.repeat(4097) })).toMatchObject([{ code: 'invalid_value' }]);
    expect(checkCustomHeaders({ ['x'.repeat(129)]: 'v' })).toMatchObject([{ code: 'invalid_name' }]);
    expect(checkCustomHeaders({ 'x-a': '' })).toMatchObject([{ code: 'invalid_value' }]);
    expect(checkCustomHeaders({ 'x-a': 5 as unknown as string })).toMatchObject([{ code: 'invalid_value' }]);
  });

  it('never repeats a value', () => {
    expect(JSON.stringify(checkCustomHeaders({ 'x-a': 'secret\n', host: 'secret' }))).not.toContain('secret');
  });
});
