import { fromPublicId, newId, seededRandom } from '@app/domain';
import { describe, expect, it } from 'vitest';
import { hashKey, makeKeyText, mayBeKey } from './key-text.js';

const random = seededRandom(1);
const id = newId(1_795_305_600_000, random);
const key = makeKeyText(id, random);

describe('the text of a key', () => {
  it('names its id, and is another one each time', () => {
    expect(key).toMatch(/^ph_live_[0-9a-z]{26}_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
    expect(fromPublicId('key', `key_${key.slice('ph_live_'.length, 'ph_live_'.length + 26)}`)).toBe(id);
    expect(makeKeyText(id, random)).not.toBe(key);
    expect(hashKey(key)).toHaveLength(32);
  });

  it('shows a typing error in any place, and lets the keys of operators pass', () => {
    expect(mayBeKey(key)).toBe(true);
    for (let at = 'ph_live_'.length; at < key.length; at++) {
      const wrong = key.slice(0, at) + (key[at] === 'a' ? 'b' : 'a') + key.slice(at + 1);
      // A text that has lost its form is looked up, and not found.
      if (/^ph_live_[0-9a-z]{26}_/.test(wrong)) expect(mayBeKey(wrong), wrong).toBe(false);
    }
    expect(mayBeKey('an-operators-own-key-of-32-characters')).toBe(true);
  });
});
