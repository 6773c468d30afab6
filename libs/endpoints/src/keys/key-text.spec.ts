import { newId, seededRandom } from '@app/domain';
import { describe, expect, it } from 'vitest';
import { hashKey, makeKeyText, readKeyText } from './key-text.js';

const random = seededRandom(1);
const id = newId(1_795_305_600_000, random);
const key = makeKeyText('key', 'live', id, random);
const token = makeKeyText('token', 'test', id, random);

describe('the text of a key', () => {
  it('names its kind, environment and id, and is another one each time', () => {
    expect(key).toMatch(/^ph_live_[0-9a-z]{26}_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
    expect(token).toMatch(/^pht_test_[0-9a-z]{26}_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
    expect(readKeyText(key)).toEqual({ kind: 'key', environment: 'live', id });
    expect(readKeyText(token)).toEqual({ kind: 'token', environment: 'test', id });
    expect(makeKeyText('key', 'live', id, random)).not.toBe(key);
    expect(hashKey(key)).toHaveLength(32);
  });

  it('shows a typing error in any place: what keeps the form has lost its checksum', () => {
    for (const text of [key, token])
      for (let at = 0; at < text.length; at++) {
        const wrong = text.slice(0, at) + (text[at] === 'a' ? 'b' : 'a') + text.slice(at + 1);
        expect(readKeyText(wrong), wrong).toBeOneOf(['mistyped', null]);
      }
    // Another kind or another environment of the same secret is not a text that was ever given.
    expect(readKeyText(key.replace('ph_', 'pht_'))).toBe('mistyped');
    expect(readKeyText(key.replace('_live_', '_test_'))).toBe('mistyped');
  });

  it('is not what an operator chose', () => {
    for (const text of [
      'an-operators-own-key-of-32-characters',
      '',
      `${key} `,
      `${key}\n`,
      key.toUpperCase(),
    ])
      expect(readKeyText(text)).toBeNull();
  });
});
