import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SharedQuestion } from './shared-question.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Questions that are answered by hand, in turn. */
function asking() {
  const asked: PromiseWithResolvers<string>[] = [];
  const question = () => {
    const next = Promise.withResolvers<string>();
    asked.push(next);
    return next.promise;
  };
  return { asked, shared: new SharedQuestion(question, () => 'not yet', 2000) };
}

it('is asked once for all who ask meanwhile, and anew for the next', async () => {
  const { asked, shared } = asking();
  const answers = [shared.ask(), shared.ask()];
  vi.advanceTimersByTime(1999);
  answers.push(shared.ask());
  asked[0].resolve('up');
  expect(await Promise.all(answers)).toEqual(['up', 'up', 'up']);
  expect(vi.getTimerCount()).toBe(0);
  const next = shared.ask();
  asked[1].resolve('up again');
  expect(await next).toBe('up again');
  expect(asked).toHaveLength(2);
});

it.each([
  ['is answered', (question: PromiseWithResolvers<string>) => question.resolve('up')],
  ['breaks', (question: PromiseWithResolvers<string>) => question.reject(new Error('gone'))],
])('that hangs is answered by what is known, and not asked again before it %s', async (_what, end) => {
  const { asked, shared } = asking();
  const first = shared.ask();
  vi.advanceTimersByTime(2000);
  expect(await first).toBe('not yet');
  for (let second = 0; second < 15; second++) {
    vi.advanceTimersByTime(1000);
    // At once: nobody waits for what has hung already.
    expect(await shared.ask()).toBe('not yet');
  }
  expect(asked).toHaveLength(1);
  end(asked[0]);
  await vi.advanceTimersByTimeAsync(0);
  const next = shared.ask();
  asked[1].resolve('up');
  expect(await next).toBe('up');
});

it('that breaks in time breaks for who asked, and is asked anew', async () => {
  const { asked, shared } = asking();
  const answers = Promise.allSettled([shared.ask(), shared.ask()]);
  asked[0].reject(new Error('gone'));
  expect((await answers).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  void shared.ask();
  expect(asked).toHaveLength(2);
});
