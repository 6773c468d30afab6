import { expect, it } from 'vitest';
import { withoutSecrets } from './logger.js';

it('removes what has the name of a secret, and within objects; what was given stays as it was', () => {
  const given = {
    key: 'k',
    n: 1,
    list: ['x'],
    nested: { secret: 's', authorization: 'a', fine: 2 },
    nothing: null,
  };
  expect(withoutSecrets(given)).toEqual({
    key: '[removed]',
    n: 1,
    list: ['x'],
    nested: { secret: '[removed]', authorization: '[removed]', fine: 2 },
    nothing: null,
  });
  expect(given.nested.secret).toBe('s');
});

it('gives a line without any back as it is', () => {
  const given = { delivery: 'dlv_1', next: { status: 'delivered' }, err: new Error('x') };
  expect(withoutSecrets(given)).toBe(given);
});
