import { manualClock, newId, seededRandom, toPublicId } from '@app/domain';
import type { DeliveryForAttempt, EndpointForAttempt } from '@app/persistence';
import { generateSecret, verify } from '@app/signing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AttemptDelivery } from './attempt-delivery.js';
import type { SendRequest, SendResult } from './http/http-sender.js';

const NOW = new Date('2026-11-22T12:00:00.000Z');
const clock = manualClock(NOW);
const random = seededRandom(7);
const secret = generateSecret(random);

function delivery(overrides: Partial<DeliveryForAttempt> = {}): DeliveryForAttempt {
  const id = newId(NOW.getTime(), random);
  const event = {
    type: 'invoice.paid',
    version: '2',
    data: '{"a": 1.0}',
    occurredAt: NOW,
    traceparent: null,
  };
  return {
    ...{
      id,
      subscriberId: id,
      eventId: id,
      endpointId: id,
      status: 'pending',
      trigger: 'event',
      ticket: 1,
      faults: 0,
      critical: false,
      orderingKey: null,
      ageSeconds: 1,
      retryPolicy: null,
    },
    ...{ dataKey: null, destroyed: false, unreadable: false },
    ...{ tries: 0, attempts: 0, dueAt: NOW, event, ...overrides },
  };
}
function endpoint(overrides: Partial<EndpointForAttempt> = {}): EndpointForAttempt {
  const url = 'https://hooks.example.com/in';
  return {
    id: 'ep',
    url,
    verification: 'none',
    headers: {},
    timeoutMs: 15_000,
    stopped: null,
    paused: false,
    subscriberId: 'sub',
    retryPolicy: null,
    retryBudgetPercent: 100,
    rateLimit: null,
    rateFactor: 1,
    rateReducedAt: null,
    orderedFailure: 'block',
    tellsFailures: false,
    window: 100,
    circuit: 'closed',
    probeId: null,
    credentials: { signatures: ['v1'], signatureHeaders: [], auth: null, tls: null },
    privateKeys: [],
    secrets: [secret],
    unreadable: false,
    ...overrides,
  };
}
const timings = { dnsMs: 1, connectMs: 1, tlsMs: 1, firstByteMs: 1, totalMs: 4 };

/** An AttemptDelivery whose sender answers this, and what it was asked to send. */
function attempting(result: Partial<SendResult>) {
  const sent: SendRequest[] = [];
  const sender = {
    send: (request: SendRequest) => {
      sent.push(request);
      return Promise.resolve({ failure: null, responseTruncated: false, timings, ...result } as SendResult);
    },
  };
  return { sent, attempts: new AttemptDelivery(sender, clock, random, { userAgent: 'Posthorn/test' }) };
}

describe('what a receiver says beside its status', () => {
  const HEADERS = ['retry-after', 'webhook-delivery'];
  const OTHERS = [
    ...[
      'location',
      'refresh',
      'connection',
      'set-cookie',
      'date',
      'content-encoding',
      'clear-site-data',
      'alt-svc',
    ],
    ...['x-retry-after', 'webhook-allowed-origin', 'webhook-allowed-rate', 'webhook-id', 'posthorn-delivery'],
  ];
  const decided = async (failure: 'http_5xx' | null, responseHeaders: Record<string, string>) => {
    const statusCode = failure === null ? 200 : 500;
    const { attempts } = attempting({ statusCode, failure, responseHeaders });
    const policy = { type: 'fixed', delaySeconds: 7, jitter: 'none' } as const;
    const outcome = await attempts.attempt(delivery(), endpoint({ retryPolicy: policy }));
    return { ...outcome, attempt: { status: outcome.attempt!.status, failure: outcome.attempt!.failure } };
  };

  it.each(['http_5xx', null] as const)(
    'decides nothing but by two headers, with the failure %j',
    async (failure) => {
      const plain = await decided(failure, {});
      await fc.assert(
        fc.asyncProperty(
          fc.dictionary(
            fc.oneof(fc.constantFrom(...OTHERS), fc.string()),
            fc.constantFrom('disable', '60', '*', '0'),
          ),
          async (headers) => {
            for (const name of HEADERS) delete headers[name];
            expect(await decided(failure, headers)).toEqual(plain);
          },
        ),
        { numRuns: 200 },
      );
      expect(await decided('http_5xx', { 'retry-after': '60' })).toMatchObject({ next: { inSeconds: 60 } });
      expect(await decided(failure, { 'webhook-delivery': 'disable' })).toMatchObject({
        disable: 'receiver_asked',
      });
    },
  );
});

describe('one attempt', () => {
  it('goes by the policy of its endpoint, then of its event type, with what they leave out filled in', async () => {
    const { attempts } = attempting({ statusCode: 500, failure: 'http_5xx' });
    const short = { type: 'schedule', delaysSeconds: [1, 2], jitter: 'none' } as const;
    const third = { tries: 2, attempts: 2 };
    const given = await attempts.attempt(delivery(third), endpoint({ retryPolicy: short }));
    expect(given.next).toEqual({ status: 'failed', failure: 'http_5xx', gaveUp: 'attempts_exhausted' });
    const second = await attempts.attempt(
      delivery({ tries: 1, attempts: 1, retryPolicy: short }),
      endpoint(),
    );
    expect(second.next).toMatchObject({ status: 'pending', inSeconds: 2, because: 'retry_schedule' });
    const own = { type: 'fixed', delaySeconds: 7, jitter: 'none' } as const;
    const over = await attempts.attempt(
      delivery({ ...third, retryPolicy: short }),
      endpoint({ retryPolicy: own }),
    );
    expect(over.next).toMatchObject({ status: 'pending', inSeconds: 7 });
  });

  it('sends the envelope around the publisher’s bytes, signed, and nobody’s header replaces ours', async () => {
    const { sent, attempts } = attempting({ statusCode: 204 });
    const one = delivery({ attempts: 3 });
    await attempts.attempt(
      one,
      endpoint({ headers: { 'x-api-key': 'k', 'webhook-id': 'mine', 'user-agent': 'me' } }),
    );
    const [{ headers, body, deadlineMs }] = sent;
    const id = toPublicId('evt', one.eventId);
    expect(body.toString()).toBe(
      `{"id":"${id}","type":"invoice.paid","version":"2","timestamp":"2026-11-22T12:00:00.000Z","data":{"a": 1.0}}`,
    );
    expect(headers).toMatchObject({
      'webhook-id': id,
      'posthorn-attempt': '4',
      'x-api-key': 'k',
      'user-agent': 'Posthorn/test',
    });
    expect(verify(headers, body, [secret], { now: NOW })).toMatchObject({ ok: true, id });
    expect(deadlineMs).toBe(15_000);
  });

  it('sends of an old row only what could be saved today: no second copy of ours in other letters', async () => {
    const { sent, attempts } = attempting({ statusCode: 204 });
    const old = JSON.parse(
      `{ "X-Tenant": "t1", "x-tenant": "t2", "Webhook-Id": "mine", "WEBHOOK-SIGNATURE": "v1,x", "Host": "169.254.169.254",
         "X-Forwarded-For": "127.0.0.1", "X-aws-ec2-metadata-token": "t", "__proto__": "x", "x\\r\\nX-Evil": "1", "x-a": "a\\r\\nX-Evil: 1" }`,
    ) as Record<string, string>;
    await attempts.attempt(delivery(), endpoint({ headers: old }));
    const names = Object.keys(sent[0].headers);
    const ours = new Set(
      'content-type user-agent accept-encoding webhook-id webhook-timestamp webhook-signature posthorn-delivery posthorn-attempt'.split(
        ' ',
      ),
    );
    expect(names.filter((name) => !ours.has(name))).toEqual(['X-Tenant']);
    expect(sent[0].headers['X-Tenant']).toBe('t1');
    expect(Object.getPrototypeOf(sent[0].headers)).toBe(Object.prototype);
  });

  it.each([
    [{ endpoint: undefined }, { status: 'cancelled', reason: 'endpoint_deleted' }],
    [
      { endpoint: endpoint({ stopped: 'endpoint_disabled' }) },
      { status: 'cancelled', reason: 'endpoint_disabled' },
    ],
    [{ endpoint: endpoint({ paused: true }) }, { status: 'pending', place: 'held' }],
    [{ endpoint: endpoint({ secrets: [] }) }, { status: 'failed', failure: 'config_invalid' }],
    [
      { endpoint: endpoint(), delivery: delivery({ event: null }) },
      { status: 'failed', failure: 'internal' },
    ],
  ])(
    'makes no request and burns nothing: %j',
    async (
      {
        endpoint: to,
        delivery: what = delivery(),
      }: { endpoint?: EndpointForAttempt; delivery?: DeliveryForAttempt },
      next,
    ) => {
      const { sent, attempts } = attempting({ statusCode: 200 });
      expect(await attempts.attempt(what, to)).toMatchObject({ attempt: null, burnsTry: false, next });
      expect(sent).toEqual([]);
    },
  );

  it('retries what the receiver did, burning a try', async () => {
    const { attempts } = attempting({
      statusCode: 503,
      failure: 'http_5xx',
      responseBody: Buffer.from('no\0pe'),
    });
    const outcome = await attempts.attempt(delivery({ tries: 2, attempts: 2 }), endpoint());
    expect(outcome).toMatchObject({ burnsTry: true, next: { status: 'pending', place: 'waiting' } });
    expect(outcome.attempt).toMatchObject({
      status: 'failed',
      statusCode: 503,
      responseBody: 'no␀pe',
      responseEncoding: 'utf8',
    });
  });

  it('a fault of ours burns none; the thirteenth try of theirs is the last', async () => {
    const ours = await attempting({ failure: 'internal' }).attempts.attempt(
      delivery({ tries: 12, attempts: 12 }),
      endpoint(),
    );
    expect(ours).toMatchObject({ burnsTry: false, next: { status: 'pending' } });
    const theirs = await attempting({ failure: 'connect_refused' }).attempts.attempt(
      delivery({ tries: 12, attempts: 12 }),
      endpoint(),
    );
    expect(theirs).toMatchObject({ burnsTry: true, next: { status: 'failed', failure: 'connect_refused' } });
  });

  it('a test event is tried once', async () => {
    const { attempts } = attempting({ statusCode: 500, failure: 'http_5xx' });
    expect(await attempts.attempt(delivery({ trigger: 'test' }), endpoint())).toMatchObject({
      next: { status: 'failed' },
    });
  });

  it('keeps what is no text as base64', async () => {
    const { attempts } = attempting({ statusCode: 200, responseBody: Buffer.from([0xff, 0xfe]) });
    const { attempt } = await attempts.attempt(delivery(), endpoint());
    expect(attempt).toMatchObject({ responseBody: '//4=', responseEncoding: 'base64' });
  });
});
