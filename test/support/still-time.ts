import type { Wait } from '@app/observability';

/** Time that stands still until it is moved: what loops wait for, and how long. */
export function stillTime(): { waiting: { ms: number; go: () => void }[]; wait: Wait } {
  const waiting: { ms: number; go: () => void }[] = [];
  const wait: Wait = (ms, signal) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ ms, go: resolve });
      signal.addEventListener('abort', () => reject(new Error('stopped')));
    });
  return { waiting, wait };
}
