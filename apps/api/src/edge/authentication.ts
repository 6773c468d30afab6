import { createHash } from 'node:crypto';
import { Problem, STAFF } from '@app/contracts';
import type { Clock } from '@app/domain';
import { mayBeKey } from '@app/endpoints';
import { ApiKeysRepository, type Database, type KnownKey } from '@app/persistence';
import type { FastifyRequest } from 'fastify';
import type { Caller } from './caller.js';

// Revocation is promised within two seconds; this is what a look-up may be old.
const KEPT_MS = 1_000;
// Dropped whole when full: somebody tries keys, and memory is bounded.
const KEPT_MAX = 10_000;
// A key in constant use would otherwise write its row on every request.
const LAST_USED_EVERY_MS = 60_000;
const TOKEN_LENGTH_MAX = 512;

/** Turns the Authorization header into a Caller. One look-up per key and second, shared by concurrent requests. */
export class Authentication {
  private readonly keys: ApiKeysRepository;
  private readonly kept = new Map<string, { until: number; key: Promise<KnownKey | null> }>();
  private readonly lastUsed = new Map<string, number>();

  constructor(
    database: Database,
    private readonly clock: Clock,
  ) {
    this.keys = new ApiKeysRepository(database);
  }

  async callerOf(request: FastifyRequest): Promise<Caller> {
    const token = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (!token) throw unauthenticated('Send your API key as `Authorization: Bearer ph_…`.');
    if (token.length > TOKEN_LENGTH_MAX || !mayBeKey(token)) throw unauthenticated();
    const key = await this.find(createHash('sha256').update(token).digest());
    if (!key || key.ended) throw unauthenticated();
    this.markUsed(key.id);
    return {
      keyId: key.id,
      scopes: key.scopes,
      scope: key.subscriberId === null ? STAFF : { kind: 'subscriber', subscriberId: key.subscriberId },
      requestId: request.id,
      ip: request.ip,
    };
  }

  private find(hash: Buffer): Promise<KnownKey | null> {
    const name = hash.toString('base64');
    const now = this.clock.now().getTime();
    const kept = this.kept.get(name);
    // A clock that was set back must not keep a revoked key alive.
    if (kept && kept.until > now && kept.until <= now + KEPT_MS) return kept.key;
    if (this.kept.size >= KEPT_MAX) this.kept.clear();
    const key = this.keys.findByHash(hash);
    this.kept.set(name, { until: now + KEPT_MS, key });
    // A failure is this request's, not the next one's.
    key.catch(() => this.kept.delete(name));
    return key;
  }

  private markUsed(id: string): void {
    const now = this.clock.now().getTime();
    if (now - (this.lastUsed.get(id) ?? -Infinity) < LAST_USED_EVERY_MS) return;
    this.lastUsed.set(id, now);
    // Not awaited, and its failure is nobody's: a missing sample does no harm.
    this.keys.markUsed(id).catch(() => undefined);
  }
}

function unauthenticated(detail = 'The API key is unknown, expired or revoked.'): Problem {
  return new Problem('unauthenticated', detail);
}
