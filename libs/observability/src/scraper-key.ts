import { createHash, timingSafeEqual } from 'node:crypto';

/** POSTHORN_METRICS_KEY, which scrapers send as a bearer token. It needs no database: metrics matter most when that is away. */
export class ScraperKey {
  private readonly digest: Buffer | null;

  constructor(key: string | null) {
    this.digest = key === null ? null : digestOf(`Bearer ${key}`);
  }

  /** Whether scrapers are asked for a key at all. */
  get isSet(): boolean {
    return this.digest !== null;
  }

  /** Digests are compared: equally long, and in constant time. */
  isIn({ authorization = '' }: { authorization?: string }): boolean {
    return this.digest !== null && timingSafeEqual(this.digest, digestOf(authorization));
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
