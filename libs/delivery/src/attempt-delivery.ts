import {
  DEFAULT_RETRY_POLICY,
  FAILURES,
  completeRetryPolicy,
  decide,
  deliveryBody,
  newId,
  parseRetryAfter,
  sendableHeaders,
  toPublicId,
  type Clock,
  type Decision,
  type Random,
  type ReceiverDirective,
  type RetryPolicy,
} from '@app/domain';
import { VERIFICATION_EVENT_TYPE } from '@app/contracts';
import {
  NO_RESPONSE,
  sealResponse,
  type AttemptRecord,
  type DeliveryForAttempt,
  type EndpointForAttempt,
  type KeptResponse,
  type OutcomeRecord,
  type Proof,
} from '@app/persistence';
import { keyIdsOf, sign, signForeign } from '@app/signing';
import { AccessTokens } from './access-tokens.js';
import type { DisabledBecause } from './lane-signals.js';
import { BASE64_PREFIX, excerpt } from './http/excerpt.js';
import type { SendRequest, SendResult } from './http/http-sender.js';
import { SendAuthorized } from './send-authorized.js';
import { handshakeWith, originHeaders, type Handshake } from './verification.js';

/** What came of one ticket: what is to be written about its delivery, and the attempt if one was made. */
export type Outcome = Pick<OutcomeRecord, 'next' | 'attempt' | 'burnsTry'> & {
  /** How long the receiver asked us to wait. */
  retryAfterSeconds: number | null;
  /** The endpoint is to be disabled for what the receiver said. */
  disable: DisabledBecause | null;
  /** The endpoint has proved that it wants deliveries. */
  proof: Proof | null;
};

/** An outcome without a request: burns nothing. */
export function withoutAttempt(next: Outcome['next']): Outcome {
  return { next, attempt: null, burnsTry: false, retryAfterSeconds: null, disable: null, proof: null };
}

/** The policy of one delivery: its endpoint's own, else its event type's, else the default; what it leaves out is filled in. */
export function policyOf(
  delivery: Pick<DeliveryForAttempt, 'retryPolicy'>,
  endpoint: Pick<EndpointForAttempt, 'retryPolicy'>,
): RetryPolicy {
  const given = endpoint.retryPolicy ?? delivery.retryPolicy;
  return given ? completeRetryPolicy(given) : DEFAULT_RETRY_POLICY;
}

/** The only way out; `HttpSender` in production. */
export interface Sender {
  send(request: SendRequest): Promise<SendResult>;
}

/**
 * One attempt, whole: gate → sign → send → classify. First try, retry, resend, replay and test are all this.
 * Reads nothing and writes nothing: it is given rows and answers with an outcome. Never throws for a receiver.
 */
export class AttemptDelivery {
  private readonly authorized: SendAuthorized;

  constructor(
    sender: Sender,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly options: {
      userAgent: string;
      /** The DNS name that we send under; null when the operator has set none. */
      origin?: string | null;
      onBroken?: (error: unknown) => void;
    },
  ) {
    this.authorized = new SendAuthorized(sender, new AccessTokens(sender, clock, random, options.userAgent));
  }

  async attempt(delivery: DeliveryForAttempt, endpoint: EndpointForAttempt | undefined): Promise<Outcome> {
    const stopped = gate(delivery, endpoint);
    if (stopped) return stopped;
    const startedAt = this.clock.now();
    const handshake =
      delivery.event!.type === VERIFICATION_EVENT_TYPE
        ? handshakeWith(endpoint!, this.options.origin ?? null, this.random)
        : null;
    let sent: SendResult;
    try {
      sent = await this.send(delivery, endpoint!, startedAt, handshake);
    } catch (error) {
      sent = this.broken(error);
    }
    const { result, proof } = judged(sent, handshake);
    const attempt = this.recordOf(result, delivery, endpoint!, startedAt);
    const tookMs = attempt.finishedAt.getTime() - startedAt.getTime();
    const said = this.next(result, delivery, endpoint!, tookMs);
    // What the receiver said in words outweighs its status: the two are of one class on record.
    if (said.next.status === 'failed') attempt.failure = said.next.failure;
    const { next, burnsTry, retryAfterSeconds, disable } = said;
    return { next, attempt, burnsTry, retryAfterSeconds, disable, proof };
  }

  /** A bug of ours on this row: told, recorded as our fault, tried again ever later; others go on. */
  private broken(error: unknown): SendResult {
    this.options.onBroken?.(error);
    const timings = { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null, totalMs: 0 };
    return {
      failure: 'internal',
      failureDetail: 'the request could not be made',
      responseTruncated: false,
      timings,
    };
  }

  /** Not async: each such layer around a request costs a promise and three turns of the microtask queue. */
  private send(
    delivery: DeliveryForAttempt,
    endpoint: EndpointForAttempt,
    now: Date,
    handshake: Handshake | null,
  ): Promise<SendResult> {
    if (endpoint.unreadable || delivery.unreadable)
      throw new Error('What is sealed of this delivery does not open with the keys of this process');
    const event = delivery.event!;
    const id = toPublicId('evt', delivery.eventId);
    const timestamp = Math.floor(now.getTime() / 1000);
    const body = handshake?.body ?? Buffer.from(deliveryBody({ id, ...event }));
    const { auth, tls } = endpoint.credentials;
    // The endpoint's own first: none of ours can be replaced, whatever an old row says.
    const headers = sendableHeaders(endpoint.headers);
    if (body.length > 0) headers['content-type'] = 'application/json';
    headers['user-agent'] = this.options.userAgent;
    headers['accept-encoding'] = 'identity';
    headers['webhook-id'] = id;
    headers['webhook-timestamp'] = String(timestamp);
    addSignatures(headers, endpoint, { id, timestamp, body });
    headers['posthorn-delivery'] = toPublicId('dlv', delivery.id);
    headers['posthorn-attempt'] = String(delivery.attempts + 1);
    Object.assign(headers, originHeaders(endpoint, this.options.origin ?? null), handshake?.headers);
    if (event.traceparent) headers['traceparent'] = event.traceparent;
    const { timeoutSeconds } = policyOf(delivery, endpoint);
    const deadlineMs = timeoutSeconds === undefined ? endpoint.timeoutMs : timeoutSeconds * 1000;
    const request: SendRequest = {
      url: endpoint.url,
      method: handshake?.method,
      headers,
      body,
      deadlineMs,
      identity: tls ?? undefined,
    };
    return this.authorized.send({ id: endpoint.id, auth }, request);
  }

  private next(
    result: SendResult,
    delivery: DeliveryForAttempt,
    endpoint: EndpointForAttempt,
    tookMs: number,
  ): Omit<Outcome, 'attempt' | 'proof'> {
    const { failure } = result;
    const burnsTry = failure === null || FAILURES[failure].chargeTo !== 'platform';
    const retryAfterSeconds = parseRetryAfter(headerOf(result, 'retry-after'), this.clock.now().getTime());
    const directive = directiveOf(result);
    const decision = decide(
      { failure, retryAfterSeconds, directive },
      {
        triesDone: delivery.tries + (burnsTry ? 1 : 0),
        platformFaults: delivery.faults,
        ageSeconds: delivery.ageSeconds + tookMs / 1000,
      },
      policyOf(delivery, endpoint),
      this.random,
    );
    // A test answers a person who waits for it: one attempt, no schedule.
    const onlyOnce = delivery.trigger === 'test' && burnsTry && failure !== null;
    const next: Outcome['next'] = onlyOnce
      ? { status: 'failed', failure, gaveUp: 'attempts_exhausted' }
      : nextOf(decision);
    return {
      burnsTry,
      retryAfterSeconds,
      next,
      disable: 'disable' in decision ? (decision.disable ?? null) : null,
    };
  }

  private recordOf(
    result: SendResult,
    delivery: DeliveryForAttempt,
    endpoint: EndpointForAttempt,
    startedAt: Date,
  ): AttemptRecord {
    const finishedAt = this.clock.now();
    const body = result.responseBody?.length ? excerpt(result.responseBody, result.responseTruncated) : null;
    const base64 = body?.startsWith(BASE64_PREFIX) ?? false;
    const id = newId(finishedAt.getTime(), this.random);
    const response: KeptResponse = {
      responseHeaders: result.responseHeaders
        ? JSON.stringify(result.responseHeaders).replaceAll('\\u0000', '')
        : null,
      responseBody: base64 ? body!.slice(BASE64_PREFIX.length) : body,
      responseEncoding: body === null ? null : base64 ? 'base64' : 'utf8',
    };
    const shown = delivery.dataKey ? NO_RESPONSE : response;
    // Field by field: spreading objects into one of twenty fields took longer than all else here.
    const { timings } = result;
    return {
      id,
      status: result.failure === null ? 'delivered' : 'failed',
      url: endpoint.url,
      startedAt,
      finishedAt,
      dnsMs: timings.dnsMs,
      connectMs: timings.connectMs,
      tlsMs: timings.tlsMs,
      firstByteMs: timings.firstByteMs,
      totalMs: timings.totalMs,
      statusCode: result.statusCode ?? null,
      failure: result.failure,
      failureDetail: result.failureDetail ?? null,
      note: result.bodyNote ?? null,
      remoteAddress: result.remoteAddress ?? null,
      responseHeaders: shown.responseHeaders,
      responseBody: shown.responseBody,
      responseEncoding: shown.responseEncoding,
      responseTruncated: result.responseTruncated,
      responseSealed: delivery.dataKey && sealResponse(delivery.dataKey, id, response),
    };
  }
}

/** What came of a handshake: any other answer than the proof has failed, whatever its status. */
function judged(
  result: SendResult,
  handshake: Handshake | null,
): { result: SendResult; proof: Proof | null } {
  if (handshake === null || result.failure !== null) return { result, proof: null };
  const proof = handshake.judge(result);
  if (typeof proof !== 'string') return { result, proof };
  return { result: { ...result, failure: 'verification_failed', failureDetail: proof }, proof: null };
}

function nextOf(decision: Decision): Outcome['next'] {
  if (decision.status === 'delivered') return { status: 'delivered' };
  if (decision.status === 'failed')
    return { status: 'failed', failure: decision.failure, gaveUp: decision.gaveUp };
  return {
    status: 'pending',
    place: 'waiting',
    inSeconds: decision.retryInSeconds,
    because: decision.reason,
  };
}

function headerOf(result: SendResult, name: string): string | undefined {
  return result.responseHeaders?.[name];
}

function directiveOf(result: SendResult): ReceiverDirective | null {
  const value = headerOf(result, 'webhook-delivery')?.trim().toLowerCase();
  return value === 'disable' || value === 'abort-message' ? value : null;
}

/** What signs: private keys before secrets, newest first (a receiver in Elixir looks at the last signature only). */
function signingSecrets({ credentials, privateKeys, secrets }: EndpointForAttempt): readonly string[] {
  const { signatures } = credentials;
  if (!signatures.includes('v1a')) return signatures.includes('v1') ? secrets : [];
  return signatures.includes('v1') ? [...privateKeys, ...secrets] : privateKeys;
}

/** All headers that are signatures, or say with which key. */
function addSignatures(
  headers: Record<string, string>,
  endpoint: EndpointForAttempt,
  { id, timestamp, body }: { id: string; timestamp: number; body: Buffer },
): void {
  const secrets = signingSecrets(endpoint);
  headers['webhook-signature'] = sign({ id, timestamp, body, secrets });
  if (endpoint.credentials.signatures.includes('v1a')) {
    const keyIds = keyIdsOf(secrets);
    if (keyIds.length > 0) headers['posthorn-key-ids'] = keyIds.join(' ');
  }
  for (const { name, format, secret } of endpoint.credentials.signatureHeaders)
    headers[name.toLowerCase()] = signForeign(format, {
      timestamp,
      body,
      secrets: secret === null ? endpoint.secrets : [secret],
    });
}

/** Why no request is made, or null. Burns no attempt: waiting is not failing. */
export function gate(delivery: DeliveryForAttempt, endpoint: EndpointForAttempt | undefined): Outcome | null {
  if (!endpoint) return withoutAttempt({ status: 'cancelled', reason: 'endpoint_deleted' });
  if (endpoint.stopped) return withoutAttempt({ status: 'cancelled', reason: endpoint.stopped });
  // Deleted between two reads: what was to be sent cannot be read any more.
  if (delivery.destroyed) return withoutAttempt({ status: 'cancelled', reason: 'subscriber_deleted' });
  // Retention never drops a day with pending deliveries; an operator's hand may have.
  if (!delivery.event)
    return withoutAttempt({ status: 'failed', failure: 'internal', gaveUp: 'platform_faults' });
  if (delivery.ageSeconds > policyOf(delivery, endpoint).ageMaxSeconds)
    return withoutAttempt({ status: 'failed', failure: 'expired', gaveUp: 'too_old' });
  if (endpoint.paused || isShut(endpoint, delivery))
    return withoutAttempt({ status: 'pending', place: 'held', inSeconds: 0 });
  if (signingSecrets(endpoint).length === 0 && !endpoint.unreadable)
    return withoutAttempt({ status: 'failed', failure: 'config_invalid', gaveUp: 'permanent' });
  return null;
}

/** The circuit lets nothing through but its probe, and a test: somebody wants to know whether it works again. */
function isShut({ circuit, probeId }: EndpointForAttempt, { id, trigger }: DeliveryForAttempt): boolean {
  return circuit !== 'closed' && trigger !== 'test' && probeId !== id;
}
