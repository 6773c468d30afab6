import { expect, it, vi } from 'vitest';
import { LineBuffer, withoutSecrets } from './logger.js';

it('lines go out together: 8 KiB of them, those of 50 ms, or what is left at the end', () => {
  vi.useFakeTimers();
  const written: string[] = [];
  const output = {
    minLength: 0,
    kept: [] as string[],
    write: (text: string) => (text.length >= output.minLength ? written : output.kept).push(text),
    flushSync: () => written.push(...output.kept.splice(0).map((text) => `sync ${text}`)),
  };
  const lines = new LineBuffer(output);
  const line = `${'x'.repeat(999)}\n`;
  for (let n = 0; n < 10; n++) lines.write(line);
  expect(written).toEqual([line.repeat(9)]);
  vi.advanceTimersByTime(49);
  expect(written).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(written).toEqual([line.repeat(9), line]);
  vi.advanceTimersByTime(1000);
  lines.write('last\n');
  lines.flush();
  lines.flush();
  expect(written.slice(2)).toEqual(['last\n']);
  // At exit nothing may be left on its way.
  lines.write('very last\n');
  lines.flushSync();
  expect(written.slice(3)).toEqual(['sync very last\n']);
  expect(output.minLength).toBe(0);
  vi.useRealTimers();
});

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
