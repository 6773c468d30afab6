import { timingSafeEqual } from 'node:crypto';
import { Problem, STAFF, TOKEN_SCOPES, type ApiScope } from '@app/contracts';
import { isWithin, parseCidrs, type CidrList, type Clock } from '@app/domain';
import { hashKey, readKeyText, type CredentialKind } from '@app/endpoints';
import { accessTokensRepository, ApiKeysRepository, type Database } from '@app/persistence';
import type { FastifyRequest } from 'fastify';
import type { Caller } from './caller.js';
import { clientAddress } from './client-address.js';

// Revocation is promised within two seconds; this is what a look-up may be old.
const KEPT_MS = 1_000;
// Dropped whole when full: somebody tries keys, and memory is bounded.
const KEPT_MAX = 10_000;
// A key in constant use would otherwise write its row on every request.
const LAST_USED_EVERY_MS = 60_000;
const TOKEN_LENGTH_MAX = 512;
/** Stands for the hash of a key that is not there: nothing hashes to it that anybody could find. */
const NO_HASH = Buffer.alloc(32);

/** A key or a customer's token that proved itself. */
interface Credential {
  kind: CredentialKind;
  id: string;
  scopes: readonly ApiScope[];
  subscriberId: string | null;
  networks: CidrList;
}

/** What the tables know of the id that a text names. */
interface Found extends Omit<Credential, 'networks'> {
  hash: Buffer;
  previousHash: Buffer | null;
  networks: string[];
  ended: boolean;
}

/**
 * Turns the Authorization header into a Caller, and knows no other place for a key: not the query, which stands in logs
 * and histories, and not a body. One look-up per key and second, shared by concurrent requests. Whatever is wrong with a
 * key, the answer is the same, and so is the work: one look-up, one hash, two comparisons.
 */
export class Authentication {
  private readonly keys: ApiKeysRepository;
  private readonly kept = new Map<string, { until: number; credential: Promise<Credential | null> }>();
  private readonly lastUsed = new Map<string, number>();

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly environment: string,
  ) {
    this.keys = new ApiKeysRepository(database);
  }

  async callerOf(request: FastifyRequest): Promise<Caller> {
    const text = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (!text) throw unauthenticated('Send your API key as `Authorization: Bearer ph_…`.');
    if (text.length > TOKEN_LENGTH_MAX) throw unauthenticated();
    const credential = await this.prove(text);
    const ip = clientAddress(request);
    if (!credential || !mayComeFrom(ip, credential.networks)) throw unauthenticated();
    this.markUsed(credential, ip);
    const { kind, id: keyId, subscriberId } = credential;
    return {
      kind,
      keyId,
      scopes: [...credential.scopes],
      scope: subscriberId === null ? STAFF : { kind: 'subscriber', subscriberId },
      requestId: request.id,
      ip,
    };
  }

  private prove(text: string): Promise<Credential | null> {
    const hash = hashKey(text);
    const name = hash.toString('base64');
    const now = this.clock.now().getTime();
    const kept = this.kept.get(name);
    // A clock that was set back must not keep a revoked key alive.
    if (kept && kept.until > now && kept.until <= now + KEPT_MS) return kept.credential;
    if (this.kept.size >= KEPT_MAX) this.kept.clear();
    const credential = this.find(text, hash).then((found) => proven(hash, found));
    this.kept.set(name, { until: now + KEPT_MS, credential });
    // A failure is this request's, not the next one's.
    credential.catch(() => this.kept.delete(name));
    return credential;
  }

  /** Null without asking for what cannot be right: a typing error, or a key of another environment. */
  private async find(text: string, hash: Buffer): Promise<Found | null> {
    const read = readKeyText(text);
    if (read === 'mistyped') return null;
    if (read === null) return keyOf(await this.keys.findChosen(hash));
    if (read.environment !== this.environment) return null;
    if (read.kind === 'key') return keyOf(await this.keys.findById(read.id));
    const token = await accessTokensRepository.findById(this.database, read.id);
    return (
      token && {
        ...token,
        kind: 'token',
        scopes: TOKEN_SCOPES[token.mode],
        previousHash: null,
        networks: [],
      }
    );
  }

  private markUsed({ kind, id }: Credential, ip: string): void {
    const now = this.clock.now().getTime();
    if (now - (this.lastUsed.get(id) ?? -Infinity) < LAST_USED_EVERY_MS) return;
    if (this.lastUsed.size >= KEPT_MAX) this.lastUsed.clear();
    this.lastUsed.set(id, now);
    const marked =
      kind === 'key' ? this.keys.markUsed(id, ip) : accessTokensRepository.markUsed(this.database, id, ip);
    // Not awaited, and its failure is nobody's: a missing sample does no harm.
    marked.catch(() => undefined);
  }
}

function keyOf(key: Omit<Found, 'kind'> | null): Found | null {
  return key && { ...key, kind: 'key' };
}

/** Both comparisons are made whatever was found, so that the time tells nobody which ids there are. */
function proven(hash: Buffer, found: Found | null): Credential | null {
  const isCurrent = timingSafeEqual(hash, found?.hash ?? NO_HASH);
  const isPrevious = timingSafeEqual(hash, found?.previousHash ?? NO_HASH);
  if (!found || !(isCurrent || isPrevious) || found.ended) return null;
  const { kind, id, scopes, subscriberId } = found;
  return { kind, id, scopes, subscriberId, networks: parseCidrs(found.networks.join(' ')) };
}

function mayComeFrom(ip: string, networks: CidrList): boolean {
  return networks.length === 0 || isWithin(ip, networks);
}

function unauthenticated(detail = 'The API key is unknown, expired or revoked.'): Problem {
  return new Problem('unauthenticated', detail);
}
