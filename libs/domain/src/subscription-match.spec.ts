import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isEventTypeName, isEventTypePattern, matchesAny } from './subscription-match.js';

const segment = fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/);
const name = fc.array(segment, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('.'));

describe('names and patterns', () => {
  it.each([
    ['invoice.paid', true, true],
    ['invoice', true, true],
    ['a.b-c.D_9', true, true],
    ['github.pull_request', true, true],
    ['*', false, true],
    ['invoice.*', false, true],
    ['a.b.*', false, true],
    ['', false, false],
    ['.', false, false],
    ['.a', false, false],
    ['a.', false, false],
    ['a..b', false, false],
    ['a b', false, false],
    ['a\n', false, false],
    ['é', false, false],
    ['.*', false, false],
    ['*.a', false, false],
    ['a.*.b', false, false],
    ['a*', false, false],
    ['**', false, false],
    ['a.**', false, false],
    ['x'.repeat(128), true, true],
    ['x'.repeat(129), false, false],
    ['x'.repeat(126) + '.*', false, true],
    ['x'.repeat(127) + '.*', false, false],
  ])('%j: name %s, pattern %s', (text, isName, isPattern) => {
    expect(isEventTypeName(text)).toBe(isName);
    expect(isEventTypePattern(text)).toBe(isPattern);
  });
});

describe('matchesAny', () => {
  it.each([
    [['invoice.paid'], 'invoice.paid', true],
    [['invoice.paid'], 'invoice.paid.late', false],
    [['invoice.paid'], 'Invoice.paid', false],
    [['invoice.*'], 'invoice.paid', true],
    [['invoice.*'], 'invoice.paid.late', true],
    [['invoice.*'], 'invoice', false],
    [['invoice.*'], 'invoices.paid', false],
    [['invoice.*'], 'my.invoice.paid', false],
    [['*'], 'anything', true],
    [['a', 'b.*'], 'b.c', true],
    [[], 'a', false],
    [['constructor'], 'constructor', true],
  ])('%j %s %s', (patterns, type, expected) => {
    expect(matchesAny(patterns, type)).toBe(expected);
  });

  it('agrees with comparing segment by segment', () => {
    fc.assert(
      fc.property(name, name, fc.nat(6), (type, other, cut) => {
        const [parts, from] = [type.split('.'), other.split('.').concat(type.split('.'))];
        const prefix = (cut % 2 ? parts : from).slice(0, 1 + (cut % parts.length));
        const expected = parts.length > prefix.length && prefix.every((each, i) => each === parts[i]);
        expect(matchesAny([`${prefix.join('.')}.*`], type)).toBe(expected);
        expect(matchesAny([other], type)).toBe(other === type);
      }),
    );
  });
});
