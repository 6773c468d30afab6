import { PAGE_SIZE_DEFAULT, Problem } from '@app/contracts';
import { describe, expect, it } from 'vitest';
import { pageOf, parsePage } from './page.js';

const IDS = ['a', 'b', 'c'].map((each) => `0193cfa4-7e30-7d6f-9b6e-4a4d4e2bb1${each}0`);
const cursorOf = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('pages', () => {
  it('lead from one to the next and end', () => {
    const first = pageOf(IDS, 2, (id) => id);
    expect(first.data).toEqual(IDS.slice(0, 2));
    expect(parsePage({ limit: '2', cursor: first.nextCursor! })).toEqual({ limit: 2, after: IDS[1] });
    expect(
      pageOf(
        IDS.slice(2),
        2,
        (id) => id,
        (id) => id.length,
      ),
    ).toEqual({ data: [36], nextCursor: null });
    expect(pageOf([], 2, String)).toEqual({ data: [], nextCursor: null });
    expect(parsePage({})).toEqual({ limit: PAGE_SIZE_DEFAULT });
  });

  it.each([
    '',
    '!',
    'x'.repeat(2000),
    cursorOf(null),
    cursorOf([]),
    cursorOf({ v: 2, after: IDS[0] }),
    cursorOf({ v: 1, after: "' OR 1=1" }),
    cursorOf({ v: 1 }),
    7,
    ['a'],
  ])('refuse a cursor that is none of ours: %j', (cursor) => {
    expect(() => parsePage({ cursor })).toThrow(Problem);
    expect(() => parsePage({ cursor })).toThrow(/invalid_cursor/);
  });

  it.each(['0', '251', '1.5', 'x', '', -1, NaN])('refuse the limit %j', (limit) => {
    expect(() => parsePage({ limit })).toThrow(/invalid_request/);
  });
});
