import { closeSync, copyFileSync, mkdirSync, openSync, readSync, statSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';

const BYTES_MAX = 50 * 1024 * 1024;
const LOOK_EVERY_MS = 10_000;
const LAST_LINES = 5;
const LAST_BYTES = 4096;

/**
 * Where a child writes its JSON lines by itself, so that it can still write while it drains after we were killed.
 * Bounded by copying to `<path>.1` and emptying: the child's descriptor stays good because it appends.
 */
export class LogFile {
  private readonly timer: NodeJS.Timeout;
  private openedAt = 0;

  constructor(readonly path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.bound();
    this.timer = setInterval(() => this.bound(), LOOK_EVERY_MS).unref();
  }

  /** For a child's stdout and stderr; the caller closes it once the child has its own. */
  open(): number {
    this.openedAt = this.size();
    return openSync(this.path, 'a', 0o600);
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** What was said last since it was opened, for a sentence about why its writer ended. */
  lastLines(): string {
    const size = this.size();
    const buffer = Buffer.alloc(Math.min(Math.max(size - this.openedAt, 0), LAST_BYTES));
    const file = openSync(this.path, 'r');
    readSync(file, buffer, 0, buffer.length, size - buffer.length);
    closeSync(file);
    return buffer.toString().trim().split('\n').slice(-LAST_LINES).join('\n');
  }

  private bound(): void {
    if (this.size() < BYTES_MAX) return;
    try {
      copyFileSync(this.path, `${this.path}.1`);
      truncateSync(this.path);
      this.openedAt = 0;
    } catch {
      // A full disk: better a long log than no deliveries.
    }
  }

  private size(): number {
    return statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
  }
}
