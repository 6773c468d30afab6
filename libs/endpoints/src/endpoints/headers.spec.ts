import { describe, expect, it } from 'vitest';
import { MASK, maskHeaders, mergeHeaders } from './headers.js';

const before = { 'X-A': 'one', 'x-b': 'two' };

describe('mergeHeaders', () => {
  it.each([
    [{}, before],
    [{ 'x-a': 'three' }, { 'x-b': 'two', 'x-a': 'three' }],
    [{ 'x-A': null }, { 'x-b': 'two' }],
    [
      { 'x-a': MASK, 'x-c': 'four' },
      { ...before, 'x-c': 'four' },
    ],
    [{ 'x-new': MASK }, { ...before, 'x-new': MASK }],
    [null, {}],
  ])('%j', (change, after) => expect(mergeHeaders(before, change)).toEqual(after));

  it('shows no value', () => expect(maskHeaders(before)).toEqual({ 'X-A': MASK, 'x-b': MASK }));
});
