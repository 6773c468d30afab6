import { createHash } from 'node:crypto';
import { boundTo, Problem, type AuditAction } from '@app/contracts';
import { newId, type AuditChange, type Clock, type Random } from '@app/domain';
import {
  auditRepository,
  Database,
  idempotencyRepository,
  type IdempotencyClaim,
  type StoredAnswer,
  type Tx,
} from '@app/persistence';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { CLOCK, RANDOM } from '../tokens.js';
import { Answer } from './answer.js';
import type { Caller } from './caller.js';
import { readIdempotencyKey } from './idempotency-key.js';

/** What the audit log keeps of an act. */
export interface Audited {
  action: AuditAction;
  /** What it was done to; else the answer's `id`, or the path. */
  object?: string;
  subscriberId?: string;
  /** What changed, by auditChange: nothing that may be a secret is in it. */
  change?: AuditChange;
}

/** What a mutation did: the answer, and what the audit log keeps of it. */
export interface Mutated<T> extends Audited {
  status: number;
  body: T;
  /** What a repeated request is answered instead, when `body` shows something that nobody may keep. */
  kept?: unknown;
}

/** Runs everything that changes something: one transaction for the change, its audit row and its stored answer. */
@Injectable()
export class Mutations {
  constructor(
    private readonly database: Database,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
  ) {}

  /**
   * `work` must have no effect outside its transaction: it runs again after a deadlock. Return what this returns from
   * the controller; it carries the status. (Typed as the body, which is what the outside gets.)
   */
  async run<T>(caller: Caller, request: FastifyRequest, work: (tx: Tx) => Promise<Mutated<T>>): Promise<T> {
    const claim = claimOf(caller, request);
    const answer = await this.database.transaction(async (tx) => {
      if (claim) {
        const stored = await this.claim(tx, claim);
        if (stored) return new Answer(stored.statusCode, stored.response, { 'idempotency-replayed': 'true' });
      }
      const done = await work(tx);
      const text = done.body === undefined ? '' : JSON.stringify(done.body);
      await this.audit(tx, caller, request, done, done.body);
      // Stored by the transaction that did the work: a crash in between cannot separate the two.
      if (claim && done.status >= 200 && done.status < 300) {
        const response = done.kept === undefined ? text : JSON.stringify(done.kept);
        // Sealed whenever it is about a subscriber: some of these answers show a secret, once.
        const sealWith =
          done.subscriberId === undefined || response === ''
            ? undefined
            : await tx.vault.keyOf(tx, done.subscriberId);
        await idempotencyRepository.store(tx, [{ ...claim, statusCode: done.status, response, sealWith }]);
      }
      return new Answer(done.status, text);
    });
    return answer as T;
  }

  /** Runs what changes nothing itself and is written down all the same: somebody looked at a secret, or had something sent. */
  async look<T>(
    caller: Caller,
    request: FastifyRequest,
    work: (tx: Tx) => Promise<Audited & { body: T }>,
  ): Promise<T> {
    return this.database.transaction(async (tx) => {
      const done = await work(tx);
      await this.audit(tx, caller, request, done, done.body);
      return done.body;
    });
  }

  private async claim(tx: Tx, claim: IdempotencyClaim): Promise<StoredAnswer | undefined> {
    const [result] = await idempotencyRepository.claim(tx, [claim]);
    switch (result) {
      case 'fresh':
        return undefined;
      case 'in_use':
        throw new Problem(
          'idempotency_key_in_use',
          'The first request with this key is still running; ask again.',
          {
            retryAfterSeconds: 1,
          },
        );
      case 'destroyed':
        throw new Problem(
          'not_found',
          'The first answer to this key went with its subscriber, which was deleted.',
        );
      case 'reused':
        throw new Problem('idempotency_key_reused', 'This key was used with another body. Take a new key.');
      default:
        return result;
    }
  }

  private async audit(
    tx: Tx,
    caller: Caller,
    request: FastifyRequest,
    { action, object, subscriberId, change }: Audited,
    body: unknown,
  ): Promise<void> {
    const { id } = (body ?? {}) as { id?: unknown };
    const params = Object.values((request.params ?? {}) as Record<string, string>);
    await auditRepository.insert(tx, {
      id: newId(this.clock.now().getTime(), this.random),
      actor: { kind: caller.kind, id: caller.keyId },
      action,
      route: `${request.method} ${request.routeOptions.url ?? ''}`,
      object: object ?? (typeof id === 'string' ? id : params.at(-1)) ?? '',
      subscriberId: subscriberId ?? boundTo(caller.scope),
      before: change?.before ?? null,
      after: change?.after ?? null,
      ip: caller.ip,
      requestId: caller.requestId,
    });
  }
}

// The column's bound; an external id in a path may be longer once it is percent-encoded.
const SCOPE_LENGTH_MAX = 512;

/** What an Idempotency-Key header claims; undefined without one. @throws Problem invalid_idempotency_key */
export function claimOf(caller: Caller, request: FastifyRequest): IdempotencyClaim | undefined {
  const key = readIdempotencyKey(request.headers['idempotency-key']);
  if (key === undefined) return undefined;
  const path = request.url.split('?', 1)[0];
  const scope = `${caller.keyId} ${request.method} ${path}`;
  return {
    scope:
      scope.length <= SCOPE_LENGTH_MAX
        ? scope
        : `${caller.keyId} ${request.method} ${sha256(path).toString('hex')}`,
    key,
    fingerprint: sha256(request.rawBody ?? Buffer.alloc(0)),
  };
}

function sha256(data: string | Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}
