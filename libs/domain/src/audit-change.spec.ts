import { describe, expect, it } from 'vitest';
import { auditChange } from './audit-change.js';

const HARMLESS = ['url', 'tags', 'at'];

describe('auditChange', () => {
  it('shows what is new, what is gone, and of a change only the fields that differ', () => {
    const at = new Date(0);
    expect(auditChange(null, { url: 'a', tags: ['x'], at, note: null }, HARMLESS)).toEqual({
      before: null,
      after: { url: 'a', tags: ['x'], at },
    });
    expect(auditChange({ url: 'a', tags: [] }, null, HARMLESS)).toEqual({
      before: { url: 'a', tags: [] },
      after: null,
    });
    expect(
      auditChange({ url: 'a', tags: ['x'], at }, { url: 'b', tags: ['x'], at: new Date(0) }, HARMLESS),
    ).toEqual({
      before: { url: 'a' },
      after: { url: 'b' },
    });
    expect(auditChange({ url: 'a' }, { url: null }, HARMLESS)).toEqual({
      before: { url: 'a' },
      after: { url: null },
    });
    expect(auditChange({ url: 'a' }, { url: 'a' }, HARMLESS)).toEqual({ before: {}, after: {} });
    expect(auditChange(null, null, HARMLESS)).toEqual({ before: null, after: null });
  });

  it('shows of whatever is not listed only that it is set, changed or gone', () => {
    const before = {
      headers: { 'x-a': 'secret-1', 'x-b': 'secret-2', 'x-c': 'secret-3' },
      password: 'secret-4',
    };
    const after = {
      headers: { 'x-a': 'secret-1', 'x-b': 'secret-5', 'x-d': 'secret-6' },
      password: 'secret-7',
    };
    const changed = auditChange(before, after, HARMLESS);
    expect(changed).toEqual({
      before: { headers: { 'x-a': '(set)', 'x-b': '(set)', 'x-c': '(set)' }, password: '(set)' },
      after: { headers: { 'x-a': '(set)', 'x-b': '(changed)', 'x-d': '(set)' }, password: '(changed)' },
    });
    expect(auditChange(before, { headers: {}, password: null }, HARMLESS)).toEqual({
      before: { headers: { 'x-a': '(set)', 'x-b': '(set)', 'x-c': '(set)' }, password: '(set)' },
      after: {},
    });
    expect(auditChange(null, after, HARMLESS).after).toEqual({
      headers: { 'x-a': '(set)', 'x-b': '(set)', 'x-d': '(set)' },
      password: '(set)',
    });
    for (const [one, other] of [
      [before, after],
      [null, after],
      [before, null],
    ])
      expect(JSON.stringify(auditChange(one, other, HARMLESS))).not.toContain('secret-');
  });

  it('masks bytes and lists whole, and what lies deeper in an object', () => {
    const after = { key: Buffer.from('secret'), list: ['secret'], auth: { user: { name: 'secret' } } };
    expect(auditChange(null, after, []).after).toEqual({
      key: '(set)',
      list: '(set)',
      auth: { user: '(set)' },
    });
  });
});
