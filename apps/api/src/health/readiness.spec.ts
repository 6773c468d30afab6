import type { Database } from '@app/persistence';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Readiness } from './readiness.js';

const SOON_MS = 2000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A database whose answer to what contains this text is what `answer` says; the others say that all is well, but that we lack migrations. */
function withDatabase(text: string, answer: () => Promise<object[]>) {
  let asked = 0;
  const query = (statement: string): Promise<object[]> => {
    asked++;
    if (statement.includes(text)) return answer();
    return Promise.resolve(statement.includes('to_regclass') ? [{ there: false, readable: null }] : [{}]);
  };
  const readiness = new Readiness({ query } as unknown as Database);
  return { readiness, asked: () => asked };
}

it('tells of each check whether it is up', async () => {
  const { readiness } = withDatabase('pgboss.queue', () => Promise.resolve([]));
  expect(await readiness.check()).toEqual({ database: 'up', migrations: 'down', queue: 'down' });
  const missing = withDatabase('pgboss.queue', () => Promise.reject(new Error('no such table')));
  expect(await missing.readiness.check()).toEqual({ database: 'up', migrations: 'down', queue: 'down' });
  const gone = withDatabase('', () => Promise.reject(new Error('gone')));
  expect(await gone.readiness.check()).toEqual({ database: 'down', migrations: 'down', queue: 'down' });
  expect(gone.asked()).toBe(1);
});

it('answers soon when the database does not, with what is known, and asks nothing more meanwhile', async () => {
  const hung = Promise.withResolvers<object[]>();
  const { readiness, asked } = withDatabase('to_regclass', () => hung.promise);
  const askers = [readiness.check(), readiness.check()];
  await vi.advanceTimersByTimeAsync(SOON_MS);
  const known = { database: 'up', migrations: 'down', queue: 'down' };
  expect(await Promise.all(askers)).toEqual([known, known]);
  for (let n = 0; n < 20; n++) expect(await readiness.check()).toEqual(known);
  expect(asked()).toBe(2);
  hung.resolve([{ there: false, readable: null }]);
  await vi.advanceTimersByTimeAsync(0);
  expect(await readiness.check()).toEqual({ database: 'up', migrations: 'down', queue: 'up' });
});
