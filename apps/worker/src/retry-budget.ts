// Shorter than a customer's idea of "now", long enough to hold more than a few attempts.
const WINDOW_MS = 60_000;
// So many retries a window are nobody's storm: an endpoint without first attempts gets its retries too.
const RETRIES_FREE = 10;
// Endpoints whose share is bounded are few; of more than this the oldest windows go.
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

  /**
   * Whether an attempt may be made: a first one always, a retry while they are within their share. Counts nothing, because a
   * ticket that has to wait for a slot of its rate is asked about again.
   */
  allows(endpointId: string, isRetry: boolean, percentMax: number): boolean {
    if (!isRetry || percentMax >= 100) return true;
    const { attempts, retries } = this.windowOf(endpointId);
    return retries < RETRIES_FREE || (retries + 1) * 100 <= percentMax * (attempts + 1);
  }

  /** Counts an attempt that is made, of an endpoint that bounds the share of its retries. */
  count(endpointId: string, isRetry: boolean, percentMax: number): void {
    if (percentMax >= 100) return;
    const window = this.windowOf(endpointId);
    window.attempts++;
    if (isRetry) window.retries++;
  }

  private windowOf(endpointId: string): Window {
    const now = this.nowMs();
    let window = this.windows.get(endpointId);
    if (window === undefined || now - window.startedAt >= WINDOW_MS) {
      this.windows.delete(endpointId);
      // The one whose window began first: a Map keeps that order.
      if (this.windows.size >= ENDPOINTS_MAX) this.windows.delete(this.windows.keys().next().value!);
      this.windows.set(endpointId, (window = { startedAt: now, attempts: 0, retries: 0 }));
    }
    return window;
  }
}
