import {
  DEFAULT_RETRY_POLICY,
  FAILURES,
  decide,
  deliveryBody,
  newId,
  toPublicId,
  type Clock,
  type Random,
} from '@app/domain';
import type { AttemptRecord, DeliveryForAttempt, EndpointForAttempt, OutcomeRecord } from '@app/persistence';
import { sign } from '@app/signing';
import { BASE64_PREFIX, excerpt } from './http/excerpt.js';
import type { SendRequest, SendResult } from './http/http-sender.js';

/** What came of one ticket: what is to be written about its delivery, and the attempt if one was made. */
export type Outcome = Pick<OutcomeRecord, 'next' | 'attempt' | 'burnsTry'>;

/** The only way out; `HttpSender` in production. */
export interface Sender {
  send(request: SendRequest): Promise<SendResult>;
}

/**
 * One attempt, whole: gate → sign → send → classify. First try, retry, resend, replay and test are all this.
 * Reads nothing and writes nothing: it is given rows and answers with an outcome. Never throws for a receiver.
 */
export class AttemptDelivery {
  constructor(
    private readonly sender: Sender,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly options: { userAgent: string; onBroken?: (error: unknown) => void },
  ) {}

  async attempt(delivery: DeliveryForAttempt, endpoint: EndpointForAttempt | undefined): Promise<Outcome> {
    const stopped = gate(delivery, endpoint);
    if (stopped) return stopped;
    const startedAt = this.clock.now();
    const result = await this.send(delivery, endpoint!, startedAt).catch((error: unknown) =>
      this.broken(error),
    );
    const attempt = this.recordOf(result, endpoint!, startedAt);
    return { attempt, ...this.next(result, delivery) };
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

  private async send(
    delivery: DeliveryForAttempt,
    endpoint: EndpointForAttempt,
    now: Date,
  ): Promise<SendResult> {
    const id = toPublicId('evt', delivery.eventId);
    const timestamp = Math.floor(now.getTime() / 1000);
    const body = Buffer.from(deliveryBody({ id, ...delivery.event! }));
    const headers: Record<string, string> = {
      // The endpoint's own first: none of ours can be replaced, whatever an old row says.
      ...endpoint.headers,
      'content-type': 'application/json',
      'user-agent': this.options.userAgent,
      'accept-encoding': 'identity',
      'webhook-id': id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': sign({ id, timestamp, body, secrets: endpoint.secrets }),
      'posthorn-delivery': toPublicId('dlv', delivery.id),
      'posthorn-attempt': String(delivery.attempts + 1),
    };
    if (delivery.event?.traceparent) headers.traceparent = delivery.event.traceparent;
    return this.sender.send({ url: endpoint.url, headers, body, deadlineMs: endpoint.timeoutMs });
  }

  private next(result: SendResult, delivery: DeliveryForAttempt): Pick<Outcome, 'next' | 'burnsTry'> {
    const burnsTry = result.failure === null || FAILURES[result.failure].chargeTo !== 'platform';
    // A test answers a person who waits for it: one attempt, no schedule.
    if (result.failure !== null && burnsTry && delivery.trigger === 'test')
      return { burnsTry, next: { status: 'failed', failure: result.failure } };
    const history = {
      triesDone: delivery.tries + (burnsTry ? 1 : 0),
      platformFaults: delivery.faults,
      ageSeconds: 0,
    };
    const outcome = { failure: result.failure, retryAfterSeconds: null, directive: null };
    const decision = decide(outcome, history, DEFAULT_RETRY_POLICY, this.random);
    if (decision.status === 'delivered') return { burnsTry, next: { status: 'delivered' } };
    if (decision.status === 'failed')
      return { burnsTry, next: { status: 'failed', failure: decision.failure } };
    return { burnsTry, next: { status: 'pending', place: 'waiting', inSeconds: decision.retryInSeconds } };
  }

  private recordOf(result: SendResult, endpoint: EndpointForAttempt, startedAt: Date): AttemptRecord {
    const finishedAt = this.clock.now();
    const body = result.responseBody?.length ? excerpt(result.responseBody, result.responseTruncated) : null;
    const base64 = body?.startsWith(BASE64_PREFIX) ?? false;
    return {
      id: newId(finishedAt.getTime(), this.random),
      status: result.failure === null ? 'delivered' : 'failed',
      url: endpoint.url,
      startedAt,
      finishedAt,
      ...result.timings,
      statusCode: result.statusCode ?? null,
      failure: result.failure,
      failureDetail: result.failureDetail ?? null,
      note: result.bodyNote ?? null,
      remoteAddress: result.remoteAddress ?? null,
      responseHeaders: result.responseHeaders
        ? JSON.stringify(result.responseHeaders).replaceAll('\\u0000', '')
        : null,
      responseBody: base64 ? body!.slice(BASE64_PREFIX.length) : body,
      responseEncoding: body === null ? null : base64 ? 'base64' : 'utf8',
      responseTruncated: result.responseTruncated,
    };
  }
}

/** Why no request is made, or null. Burns no attempt: waiting is not failing. */
function gate(delivery: DeliveryForAttempt, endpoint: EndpointForAttempt | undefined): Outcome | null {
  const without = (next: Outcome['next']): Outcome => ({ next, attempt: null, burnsTry: false });
  if (!endpoint) return without({ status: 'cancelled', reason: 'endpoint_deleted' });
  if (endpoint.stopped) return without({ status: 'cancelled', reason: endpoint.stopped });
  if (endpoint.paused) return without({ status: 'pending', place: 'held', inSeconds: 0 });
  // Retention never drops a day with pending deliveries; an operator's hand may have.
  if (!delivery.event) return without({ status: 'failed', failure: 'internal' });
  if (endpoint.secrets.length === 0) return without({ status: 'failed', failure: 'config_invalid' });
  return null;
}
