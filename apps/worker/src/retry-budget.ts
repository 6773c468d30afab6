// Shorter than a customer's idea of "now", long enough to hold more than a few attempts.
const WINDOW_MS = 60_000;
// So many retries a window are nobody's storm: an endpoint without first attempts gets its retries too.
const RETRIES_FREE = 10;
// Endpoints whose share is bounded are few; more than this and the ones that attempted nothing lately go.
const ENDPOINTS_MAX = 10_000;

interface Window {
  startedAt: number;
  attempts: number;
  retries: number;
}

/**
 * How many of an endpoint's attempts from this worker were retries in the last minute. Each worker keeps its own share, so
 * that all of them together keep it too.
 */
export class RetryBudget {
  private readonly windows = new Map<string, Window>();

  constructor(private readonly nowMs: () => number) {}

  /** Counts an attempt of an endpoint that bounds the share of its retries. Answers whether a retry may be made; a first one always may. */
  allows(endpointId: string, isRetry: boolean, percentMax: number): boolean {
    if (percentMax >= 100) return true;
    const window = this.windowOf(endpointId);
    const within =
      window.retries < RETRIES_FREE || (window.retries + 1) * 100 <= percentMax * (window.attempts + 1);
    if (isRetry && !within) return false;
    window.attempts++;
    if (isRetry) window.retries++;
    return true;
  }

  private windowOf(endpointId: string): Window {
    const now = this.nowMs();
    let window = this.windows.get(endpointId);
    if (window === undefined || now - window.startedAt >= WINDOW_MS) {
      if (this.windows.size >= ENDPOINTS_MAX)
        for (const [id, { startedAt }] of this.windows)
          if (now - startedAt >= WINDOW_MS) this.windows.delete(id);
      this.windows.set(endpointId, (window = { startedAt: now, attempts: 0, retries: 0 }));
    }
    return window;
  }
}
