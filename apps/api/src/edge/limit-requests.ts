import { createHash } from 'node:crypto';
import type { Config } from '@app/config';
import { boundTo, Problem } from '@app/contracts';
import type { Metrics } from '@app/observability';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RAW_BODY_LIMITS } from './route-table.js';
import type { Caller } from './caller.js';
import { clientAddress } from './client-address.js';
import { clientNetwork } from './client-network.js';
import {
  WINDOW_SECONDS,
  type LimitAnswer,
  type LimitAsk,
  type LimitPolicy,
  type RequestLimits,
} from './request-limits.js';

// A key that was right within this time is not held up by what others at its address get wrong.
const KNOWN_MS = 10 * 60_000;
// Dropped whole when full; its keys are then counted as unknown ones once.
const KNOWN_MAX = 10_000;
// Probes come every few seconds and must not depend on the database.
const UNLIMITED = /^\/(health\/|metrics$)/;

declare module 'fastify' {
  interface FastifyRequest {
    /** The limit that refused this request, for its log line. */
    limitedBy?: string;
  }
}

/** Which limits hold for a request, and what its answer says of them. A policy with the quota 0 is off. */
export class LimitRequests {
  private readonly key: LimitPolicy;
  private readonly publish: LimitPolicy;
  private readonly customer: LimitPolicy;
  private readonly address: LimitPolicy;
  private readonly authentication: LimitPolicy;
  /** Digests of Authorization headers that named a key, and until when that is remembered. */
  private readonly known = new Map<string, number>();
  /** Digests of headers that are being asked about for the first time: whether they name a key. */
  private readonly asking = new Map<string, Promise<boolean>>();

  constructor(
    config: Config,
    private readonly limits: Pick<RequestLimits, 'take' | 'giveBack'>,
    private readonly metrics: Metrics,
    private readonly monotonic: () => number,
  ) {
    this.key = { name: 'key', quota: config.POSTHORN_RATE_LIMIT_KEY };
    this.publish = { name: 'publish', quota: config.POSTHORN_RATE_LIMIT_PUBLISH };
    this.customer = { name: 'customer', quota: config.POSTHORN_RATE_LIMIT_CUSTOMER };
    this.address = { name: 'address', quota: config.POSTHORN_RATE_LIMIT_ADDRESS };
    this.authentication = { name: 'authentication', quota: config.POSTHORN_RATE_LIMIT_AUTHENTICATION };
  }

  /**
   * Asks who this is, and counts whoever does not know. Once an address has used up its wrong keys, every key that was
   * not in use here is answered 429 without being looked up, right or wrong: the answer tells a guesser nothing. A key
   * in use is never locked out by another client behind the same address.
   */
  async authenticate(
    request: FastifyRequest,
    reply: FastifyReply,
    callerOf: (request: FastifyRequest) => Promise<Caller>,
  ): Promise<Caller> {
    if (this.authentication.quota === 0) return callerOf(request);
    const digest = createHash('sha256')
      .update(request.headers.authorization ?? '')
      .digest('base64');
    // The first requests with a key that this process has not seen: one asks, and the others need not be counted when it
    // was right. After a start a busy client would use up its address's wrong keys with its right one.
    const first = this.asking.get(digest);
    if (this.isKnown(digest) || (await first)) return this.asKnown(request, reply, callerOf, digest);
    const asked = this.asUnknown(request, reply, callerOf, digest);
    if (!first) {
      const wasRight = asked.then(
        () => true,
        () => false,
      );
      this.asking.set(digest, wasRight);
      void wasRight.then(() => this.asking.delete(digest));
    }
    return asked;
  }

  /** Counted when it turns out to be wrong: a key that was revoked, say. */
  private async asKnown(
    request: FastifyRequest,
    reply: FastifyReply,
    callerOf: (request: FastifyRequest) => Promise<Caller>,
    digest: string,
  ): Promise<Caller> {
    try {
      const caller = await callerOf(request);
      // From its last use on, not its first: what is in use stays known.
      this.remember(digest);
      return caller;
    } catch (error) {
      if (!isUnauthenticated(error)) throw error;
      this.known.delete(digest);
      const answers = await this.taken(request, reply, [this.unknownFrom(request)]);
      if (answers) tell(reply, answers);
      throw error;
    }
  }

  /** Counted before it is looked at: of guesses that come all at once no more are looked at than may be. */
  private async asUnknown(
    request: FastifyRequest,
    reply: FastifyReply,
    callerOf: (request: FastifyRequest) => Promise<Caller>,
    digest: string,
  ): Promise<Caller> {
    const ask = this.unknownFrom(request);
    const answers = await this.taken(request, reply, [ask]);
    try {
      const caller = await callerOf(request);
      this.remember(digest);
      if (answers) this.limits.giveBack(ask);
      return caller;
    } catch (error) {
      if (answers && isUnauthenticated(error)) tell(reply, answers);
      throw error;
    }
  }

  private unknownFrom(request: FastifyRequest): LimitAsk {
    return { policy: this.authentication, who: clientNetwork(clientAddress(request)) };
  }

  /** Counts a request whose caller is known, or one that needs none. @throws Problem rate_limited */
  async admit(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const asks = this.asksOf(request).filter(({ policy }) => policy.quota > 0);
    if (asks.length === 0) return;
    const answers = await this.taken(request, reply, asks);
    if (answers) tell(reply, answers);
  }

  private asksOf(request: FastifyRequest): LimitAsk[] {
    const { caller } = request;
    const { url = '' } = request.routeOptions;
    if (UNLIMITED.test(url)) return [];
    if (caller && Object.hasOwn(RAW_BODY_LIMITS, url)) return [{ policy: this.publish, who: caller.keyId }];
    const byAddress = { policy: this.address, who: clientNetwork(clientAddress(request)) };
    return caller ? [this.ofCaller(caller), byAddress] : [byAddress];
  }

  private ofCaller({ kind, keyId, scope }: Caller): LimitAsk {
    // Of a customer all tokens together: who may ask for a new one whenever he likes has no more for it.
    if (kind === 'token') return { policy: this.customer, who: boundTo(scope) ?? keyId };
    return { policy: this.key, who: keyId };
  }

  private async taken(
    request: FastifyRequest,
    reply: FastifyReply,
    asks: LimitAsk[],
  ): Promise<LimitAnswer[] | null> {
    const answers = await this.limits.take(asks);
    const violated = answers?.filter(({ allowed }) => !allowed) ?? [];
    if (violated.length === 0) return answers;
    tell(reply, violated);
    request.limitedBy = violated[0].policy.name;
    for (const { policy } of violated) this.metrics.requestsLimited.inc({ policy: policy.name });
    throw refusal(violated);
  }

  private isKnown(digest: string): boolean {
    return (this.known.get(digest) ?? -Infinity) > this.monotonic();
  }

  private remember(digest: string): void {
    if (this.known.size >= KNOWN_MAX) this.known.clear();
    this.known.set(digest, this.monotonic() + KNOWN_MS);
  }
}

function isUnauthenticated(error: unknown): boolean {
  return error instanceof Problem && error.code === 'unauthenticated';
}

/** The fields of draft-ietf-httpapi-ratelimit-headers, and the three that clients know from elsewhere: of the tightest policy. */
function tell(reply: FastifyReply, answers: LimitAnswer[]): void {
  const tightest = answers.reduce((a, b) => (b.remaining < a.remaining ? b : a));
  reply.headers({
    'ratelimit-policy': answers
      .map(({ policy }) => `"${policy.name}";q=${policy.quota};w=${WINDOW_SECONDS}`)
      .join(', '),
    ratelimit: answers
      .map(({ policy, remaining, resetSeconds }) => `"${policy.name}";r=${remaining};t=${resetSeconds}`)
      .join(', '),
    'x-ratelimit-limit': String(tightest.policy.quota),
    'x-ratelimit-remaining': String(tightest.remaining),
    'x-ratelimit-reset': String(tightest.resetSeconds),
  });
}

const WHOM: Record<string, string> = {
  key: 'requests a minute for one key',
  publish: 'publishing requests a minute for one key',
  customer: 'requests a minute for the access tokens of one subscriber',
  address: 'requests a minute from one address',
  authentication: 'requests a minute without a valid key from one address',
};

function refusal(violated: LimitAnswer[]): Problem {
  const retryAfterSeconds = Math.max(...violated.map(({ resetSeconds }) => resetSeconds));
  const { policy } = violated[0];
  return new Problem(
    'rate_limited',
    `There may be ${policy.quota} ${WHOM[policy.name]}. Ask again in ${retryAfterSeconds} s.`,
    {
      limit: policy.quota,
      retryAfterSeconds,
      violatedPolicies: violated.map((each) => each.policy.name),
    },
  );
}
