import { randomFillSync } from 'node:crypto';

/** Where ids, secrets and jitter get their chance from, so that a test can repeat a run. */
export interface Random {
  /** Uniform in [0, 1). For jitter and sampling, never for anything secret. */
  next(): number;
  /** `n` fresh bytes, good enough for secrets; the caller owns them. */
  bytes(n: number): Uint8Array;
}

// One system call per 8 KiB instead of per id. Slices are handed out once and a spent pool is dropped, never refilled:
// a slice may be a secret that somebody still holds.
const POOL_BYTES = 8192;
let pool = new Uint8Array(0);
let used = 0;

export const systemRandom: Random = {
  next: () => Math.random(),
  bytes(n) {
    if (n > POOL_BYTES / 8) return randomFillSync(new Uint8Array(n));
    if (used + n > pool.length) {
      pool = randomFillSync(new Uint8Array(POOL_BYTES));
      used = 0;
    }
    const from = used;
    used += n;
    return pool.subarray(from, used);
  },
};

/** Repeatable chance for tests (mulberry32). Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { next, bytes: (n) => Uint8Array.from({ length: n }, () => Math.floor(next() * 256)) };
}
