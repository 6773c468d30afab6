import { manualClock, seededRandom, type OAuth2Auth } from '@app/domain';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AccessTokens } from './access-tokens.js';
import type { SendRequest, SendResult } from './http/http-sender.js';

const AUTH: OAuth2Auth = {
  type: 'oauth2',
  tokenUrl: 'https://login.example.com/token',
  clientId: 'posthorn',
  clientSecret: 'secret',
  clientAuth: 'basic',
};
const timings = { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null, totalMs: 1 };

/** Tokens from a server that gives t1, t2, …, as soon as it is let. */
function tokensFrom(answer: { expiresIn?: unknown; seed?: number } = {}) {
  const clock = manualClock('2026-11-26T12:00:00.000Z');
  const asked: SendRequest[] = [];
  const held: (() => void)[] = [];
  const state = { failing: false, holding: false };
  const send = async (request: SendRequest): Promise<SendResult> => {
    asked.push(request);
    const n = asked.length;
    if (state.holding) await new Promise<void>((resolve) => held.push(resolve));
    const body = { access_token: `t${n}`, token_type: 'bearer', expires_in: answer.expiresIn };
    return {
      statusCode: state.failing ? 500 : 200,
      failure: state.failing ? 'http_5xx' : null,
      responseBody: Buffer.from(JSON.stringify(body)),
      responseTruncated: false,
      timings,
    };
  };
  const tokens = new AccessTokens({ send }, clock, seededRandom(answer.seed ?? 1), 'Posthorn/test');
  const get = async (endpoint = 'ep', auth = AUTH, waitMs = 1000) => {
    const got = await tokens.get(endpoint, auth, waitMs);
    return got.ok ? got.token : got.failure;
  };
  const letGo = (): void => held.splice(0).forEach((go) => go());
  return { clock, asked, state, tokens, get, letGo };
}

describe('a token', () => {
  it('is fetched once by all who wait for it, each at most as long as it has', async () => {
    const { asked, state, get, letGo } = tokensFrom({ expiresIn: 3600 });
    state.holding = true;
    const patient = Array.from({ length: 5 }, () => get());
    expect(await get('ep', AUTH, 5)).toBe('token_unavailable');
    letGo();
    expect(await Promise.all(patient)).toEqual(Array(5).fill('t1'));
    expect(asked).toHaveLength(1);
  });

  it.each([
    ['as it says', 1000, 1000],
    ['as it says in a text', '1000', 1000],
    ['five minutes when it does not say', undefined, 300],
    ['five minutes when it says nonsense', 'soon', 300],
    ['a day at most', 10_000_000, 86_400],
  ])('is used for %s, and never a moment longer', async (_what, expiresIn, seconds) => {
    const { clock, asked, state, get } = tokensFrom({ expiresIn });
    expect(await get()).toBe('t1');
    state.failing = true;
    clock.advance(seconds * 1000 - 1);
    expect(await get()).toBe('t1');
    clock.advance(1);
    expect(await get()).toBe('token_unavailable');
    expect(asked.length).toBeGreaterThan(1);
  });

  it.each([0, -1])('with a life of %d s is used once and not kept', async (expiresIn) => {
    const { asked, get } = tokensFrom({ expiresIn });
    expect([await get(), await get()]).toEqual(['t1', 't2']);
    expect(asked).toHaveLength(2);
  });

  it('is refreshed before its end, beside those who still use the old one, and not at the same moment by all workers', async () => {
    const refreshedAt = async (seed: number): Promise<number> => {
      const { clock, asked, get } = tokensFrom({ expiresIn: 3600, seed });
      await get();
      let second = 0;
      while (asked.length === 1) {
        clock.advance(1000);
        second++;
        expect(await get()).toBe('t1');
      }
      // Nobody waited, and the next one has the new one.
      expect(await get()).toBe('t2');
      return second;
    };
    const moments = await Promise.all([1, 2, 3, 4, 5].map(refreshedAt));
    for (const moment of moments) {
      expect(moment).toBeGreaterThanOrEqual(3600 - 120);
      expect(moment).toBeLessThanOrEqual(3600 - 60);
    }
    expect(new Set(moments).size).toBeGreaterThan(1);
  });

  it('whose server fails while it still holds is not asked for over and over', async () => {
    const { clock, asked, state, get } = tokensFrom({ expiresIn: 3600 });
    await get();
    state.failing = true;
    clock.advance(3_550_000);
    for (let n = 0; n < 10; n++) expect(await get()).toBe('t1');
    expect(asked).toHaveLength(2);
    clock.advance(5000);
    await get();
    expect(asked).toHaveLength(3);
  });

  it('that was refused is dropped, unless somebody has another one since', async () => {
    const { asked, tokens, get } = tokensFrom({ expiresIn: 3600 });
    expect(await get()).toBe('t1');
    tokens.drop('ep', 't1');
    expect(await get()).toBe('t2');
    tokens.drop('ep', 't1');
    expect(await get()).toBe('t2');
    expect(asked).toHaveLength(2);
  });

  it('is of one endpoint, and of the settings that it was given for', async () => {
    const { asked, get } = tokensFrom({ expiresIn: 3600 });
    expect([await get('ep'), await get('other')]).toEqual(['t1', 't2']);
    expect(await get('ep', { ...AUTH, clientSecret: 'another' })).toBe('t3');
    expect(await get('other')).toBe('t2');
    expect(asked).toHaveLength(3);
  });
});

describe('what nobody uses is let go', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** Both clocks: the one that tokens are judged by, and that of timers. */
  function passing(from: ReturnType<typeof tokensFrom>) {
    const pass = (ms: number): void => {
      from.clock.advance(ms);
      vi.advanceTimersByTime(ms);
    };
    const kept = (): string[] => [
      ...(from.tokens as unknown as { entries: Map<string, object> }).entries.keys(),
    ];
    return { ...from, pass, kept };
  }
  const MINUTE = 60_000;

  it('a token of which nobody asked for an hour, beside one that is used, which is fetched no more often for that', async () => {
    const { asked, get, pass, kept } = passing(tokensFrom({ expiresIn: 86_400 }));
    expect([await get('deleted'), await get('seldom')]).toEqual(['t1', 't2']);
    for (let n = 0; n < 10; n++) {
      pass(59 * MINUTE);
      expect(await get('seldom')).toBe('t2');
    }
    expect(kept()).toEqual(['seldom']);
    expect(asked).toHaveLength(2);
  });

  it('a token that has ended, at once, and nothing runs for none', async () => {
    const { get, pass, kept } = passing(tokensFrom({ expiresIn: 300 }));
    await get();
    pass(299_000);
    expect(kept()).toEqual(['ep']);
    pass(31_000);
    expect(kept()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    await get();
    expect(kept()).toEqual(['ep']);
  });

  it('but never while it is fetched: who asks meanwhile waits for the same answer', async () => {
    const { asked, state, get, pass, letGo } = passing(tokensFrom({ expiresIn: 3600 }));
    state.holding = true;
    const first = get('ep', AUTH, 5 * MINUTE);
    pass(2 * MINUTE);
    const second = get('ep', AUTH, 5 * MINUTE);
    letGo();
    expect(await Promise.all([first, second])).toEqual(['t1', 't1']);
    expect(asked).toHaveLength(1);
  });
});
