import { DELIVERED_EXAMPLE } from './webhooks.js';

/** What a comment at the controller's method cannot say of an operation. */
export interface OperationEntry {
  /** Public: client generators name functions after it, links to the documentation end with it. */
  id: string;
  /** What the answer is. */
  answer: string;
  /** More than the comment says. */
  about?: string;
  /** Bodies to try, the first is offered. Built from the fields they would carry ids and secrets that nobody has. */
  bodies?: Record<string, unknown>;
  /** Answers to show. Built from the fields they would contradict themselves: not every field is there every time. */
  shows?: Record<string, unknown>;
}

const INVOICE = DELIVERED_EXAMPLE.data;
const EVENT = DELIVERED_EXAMPLE.id;

/** A delivery that failed once and waits for its second try. */
const DELIVERY = {
  id: 'dlv_01kany2t2bfd0rk8d6x0p9h3qa',
  eventId: EVENT,
  endpointId: 'ep_01kany2t2bfd0rk8d6x0p9h3qa',
  subscriberId: 'sub_01kany2t2bfd0rk8d6x0p9h3qa',
  eventType: 'invoice.paid',
  status: 'pending',
  trigger: 'retry',
  attempts: 1,
  createdAt: '2026-11-22T09:30:00.000Z',
  updatedAt: '2026-11-22T09:30:00.101Z',
  finishedAt: null,
  failure: 'http_5xx',
  statusCode: 503,
  gaveUp: null,
  priority: 'normal',
  orderingKey: null,
  cancelReason: null,
  replayId: null,
  nextAttempt: {
    at: '2026-11-22T09:30:05.310Z',
    code: 'retry_schedule',
    reason: 'The attempt before failed; the retry schedule says when to try again.',
  },
};

const TIMELINE = [
  {
    id: 'att_01kany2t2bfd0rk8d6x0p9h3qa',
    n: 1,
    status: 'failed',
    trigger: 'event',
    late: false,
    url: 'https://hooks.acme.example.com/posthorn',
    scheduledAt: '2026-11-22T09:30:00.000Z',
    startedAt: '2026-11-22T09:30:00.004Z',
    finishedAt: '2026-11-22T09:30:00.101Z',
    timings: { dnsMs: 3.1, connectMs: 12.4, tlsMs: 28.9, firstByteMs: 96.2, totalMs: 97.5 },
    statusCode: 503,
    failure: 'http_5xx',
    failureDetail: null,
    note: null,
    remoteAddress: '203.0.113.7',
    response: {
      headers: { 'content-type': 'application/json' },
      body: '{"error":"database is down"}',
      encoding: 'utf8',
      truncated: false,
      missing: null,
    },
    worker: 'worker-3f2a',
  },
  {
    id: null,
    n: 2,
    status: 'pending',
    trigger: 'retry',
    late: false,
    url: 'https://hooks.acme.example.com/posthorn',
    scheduledAt: '2026-11-22T09:30:05.310Z',
    startedAt: null,
    finishedAt: null,
    timings: null,
    statusCode: null,
    failure: null,
    failureDetail: null,
    note: null,
    remoteAddress: null,
    response: null,
    worker: null,
    dueAt: '2026-11-22T09:30:05.310Z',
    reason: 'The attempt before failed; the retry schedule says when to try again.',
  },
];

/** By controller and method. Together the offered bodies are a first day: executed from top to bottom they work. */
export const OPERATIONS: Record<string, OperationEntry> = {
  'subscribers.create': {
    id: 'createSubscriber',
    answer: 'The subscriber as it was registered.',
    bodies: {
      'With your own id': { name: 'Acme Corporation', externalId: 'acme-corp' },
      'With notes': { name: 'Globex', externalId: 'globex', metadata: { plan: 'enterprise', region: 'eu' } },
    },
  },
  'subscribers.list': { id: 'listSubscribers', answer: 'One page of subscribers.' },
  'subscribers.get': {
    id: 'getSubscriber',
    answer: 'The subscriber.',
    about: 'Its endpoints are at `GET /v1/subscribers/{subscriber}/endpoints`.',
  },
  'subscribers.change': {
    id: 'changeSubscriber',
    answer: 'The subscriber as it is now.',
    bodies: {
      'A new name': { name: 'Acme International' },
      'A note less, a note more': { metadata: { plan: 'business', region: null } },
    },
  },
  'subscribers.delete': { id: 'deleteSubscriber', answer: 'It is deleted.' },

  'endpoints.create': {
    id: 'createEndpoint',
    answer: 'The endpoint, with its signing secret: keep it.',
    about: `Without \`eventTypes\` it gets every event of the subscriber. Each delivery is a POST with a body like this:

\`\`\`json
${JSON.stringify(DELIVERED_EXAMPLE, null, 2)}
\`\`\`

Answer 2xx within its \`timeoutSeconds\`; the headers and the signature are described under *Webhooks* at the end of this page.`,
    bodies: {
      'All events': { url: 'https://hooks.acme.example.com/posthorn' },
      'Some events, with a header of your own': {
        url: 'https://hooks.acme.example.com/billing',
        description: 'Billing, production',
        eventTypes: ['invoice.*', 'customer.created'],
        headers: { 'x-tenant': 'acme' },
        timeoutSeconds: 10,
      },
      'With a retry policy and a rate limit': {
        url: 'https://hooks.acme.example.com/slow',
        retryPolicy: { type: 'exponential', initialSeconds: 10, maxSeconds: 3600, attemptsMax: 10 },
        rateLimit: { algorithm: 'token_bucket', limit: 100, per: 60, burst: 20, adaptive: true },
        autoDisable: { afterSeconds: 172_800 },
      },
      'In order, per orderingKey': {
        url: 'https://hooks.acme.example.com/ledger',
        ordered: true,
        orderedFailure: 'block',
      },
    },
  },
  'endpoints.list': {
    id: 'listEndpoints',
    answer: 'One page of endpoints.',
    about: 'Secrets are not shown here, and values of custom headers are masked.',
  },
  'endpoints.get': {
    id: 'getEndpoint',
    answer: 'The endpoint.',
    about: '`status` says whether anything is sent to it. The values of its custom headers are masked.',
  },
  'endpoints.change': {
    id: 'changeEndpoint',
    answer: 'The endpoint as it is now.',
    bodies: {
      'A new URL': { url: 'https://hooks.acme.example.com/v2/posthorn' },
      'Other events': { eventTypes: ['invoice.*', 'refund.issued'] },
      'A schedule of its own': {
        retryPolicy: { type: 'schedule', delaysSeconds: [5, 60, 600, 3600], jitter: 'proportional' },
      },
      'Back to the defaults, and never disabled': {
        retryPolicy: null,
        rateLimit: null,
        autoDisable: null,
      },
      'A header less, a header more': { headers: { 'x-tenant': null, 'x-region': 'eu' } },
    },
  },
  'endpoints.delete': { id: 'deleteEndpoint', answer: 'It is deleted.' },
  'endpointActions.showSecrets': {
    id: 'getSecrets',
    answer: 'The secrets that sign now.',
    about:
      'More than one while a secret is being rotated: each delivery then carries one signature per secret.',
  },
  'publicKeys.ofEndpoint': {
    id: 'listPublicKeys',
    answer: 'The public keys that sign now.',
    about:
      'Empty for an endpoint that has never had `v1a` among its `signatures`. During a rotation there are several; every delivery names those it was signed with in `posthorn-key-ids`, in the order of its `v1a` signatures. How to verify one: docs/verifying.md.',
  },
  'publicKeys.jwks': {
    id: 'listJwks',
    answer: 'A JWK Set (RFC 7517) with a `kid` for each key.',
    about:
      "A receiver asks with `?endpoint=` for the handful that can have signed its deliveries, and finds the one by the `kid` that `posthorn-key-ids` names. It needs a key of the API, which may be bound to its subscriber: a set of everybody's keys would tell who receives events, and would grow without end. Without `endpoint` it lists, page by page, all that the key may see. It may be kept for five minutes.",
  },
  'endpointActions.rotateSecret': {
    id: 'rotateSecret',
    answer: 'The new secret: keep it.',
    about:
      'During the overlap each delivery carries one signature per secret, so a receiver that knows either accepts it. After a leak end the old one at once with `overlapSeconds: 0`.',
    bodies: {
      'The old secret signs for another day': {},
      'The old secret has leaked: it ends now': { overlapSeconds: 0 },
    },
  },
  'endpointActions.disable': {
    id: 'disableEndpoint',
    answer: 'The endpoint as it is now.',
    about: 'To keep what comes meanwhile, pause it instead.',
    bodies: { 'With a reason': { reason: 'Moving to a new host until Monday' }, Without: {} },
  },
  'endpointActions.enable': {
    id: 'enableEndpoint',
    answer: 'The endpoint as it is now.',
    about:
      'Post `missed.replay` to `/v1/replays` as it is, and what was cancelled while it was disabled is sent after all.',
  },
  'endpointActions.pause': {
    id: 'pauseEndpoint',
    answer: 'The endpoint as it is now.',
    about:
      'For a maintenance window: nothing is lost for shorter than the policy’s `ageMaxSeconds` (7 days), and waiting uses up no attempt.',
  },
  'endpointActions.resume': {
    id: 'resumeEndpoint',
    answer: 'The endpoint as it is now.',
    about: 'Resuming one that is not paused changes nothing.',
  },
  'endpointHealth.show': {
    id: 'getEndpointHealth',
    answer: 'How the endpoint does.',
    about:
      'Figures are counted by workers and some seconds behind. `circuit` says whether anything is sent at all: after five failures in a row, or when most of a minute’s attempts fail, an endpoint is left alone for 30 s, then for longer each time, up to half an hour; one probe decides. Waiting uses up no attempt.',
    shows: {
      'Its receiver is down': {
        status: 'enabled',
        paused: false,
        circuit: {
          state: 'open',
          since: '2026-11-22T09:30:00.000Z',
          openUntil: '2026-11-22T09:30:31.000Z',
          reason: 'five attempts in a row failed',
          trips: 1,
          nextProbeAt: '2026-11-22T09:30:31.000Z',
        },
        window: 1,
        windowMax: 2000,
        queued: 0,
        held: 812,
        waiting: 5,
        oldestDueAt: '2026-11-22T09:29:58.000Z',
        rate: null,
        lastHour: {
          attempts: 1042,
          delivered: 1032,
          failed: 10,
          successRatio: 0.9904,
          p50Ms: 84.2,
          p95Ms: 260.7,
        },
        lastDay: {
          attempts: 20_411,
          delivered: 20_398,
          failed: 13,
          successRatio: 0.9994,
          p50Ms: 82.9,
          p95Ms: 251.3,
        },
        failing: {
          since: '2026-11-22T09:29:51.000Z',
          attempts: 8,
          warnedPercent: 0,
          disablesAt: '2026-11-27T09:29:51.000Z',
        },
        transitions: [
          {
            at: '2026-11-22T09:30:00.000Z',
            kind: 'circuit_opened',
            detail: { reason: 'consecutive_failures', until: '2026-11-22T09:30:31.000Z' },
            text: 'The circuit opened because five attempts in a row failed: nothing is sent until 2026-11-22T09:30:31.000Z, then one probe.',
          },
        ],
        ordering: null,
      },
    },
  },
  'testEvent.send': {
    id: 'sendTestEvent',
    answer: 'It is on its way: look at its delivery.',
    bodies: {
      'A greeting': {},
      'The example of an event type': { eventType: 'invoice.paid' },
    },
  },
  'testEvent.verify': {
    id: 'verifyEndpoint',
    answer: 'It is asked: look at the delivery, and then at the endpoint.',
  },
  'retryPolicies.preview': {
    id: 'previewRetryPolicy',
    answer: 'The policy complete, and its tries.',
    about:
      'A body is what `retryPolicy` of an endpoint or an event type takes. Times are seconds after the event was accepted, as if every try failed at once; `Retry-After`, an open circuit, a rate limit or a pause can only make them later.',
    shows: {
      'Three tries, ten seconds apart': {
        policy: {
          type: 'fixed',
          delaySeconds: 10,
          jitter: 'equal',
          attemptsMax: 3,
          ageMaxSeconds: 604_800,
          retryClientErrors: false,
        },
        tries: [
          { n: 1, afterSeconds: { earliest: 0, nominal: 0, latest: 0 } },
          { n: 2, afterSeconds: { earliest: 5, nominal: 10, latest: 10 } },
          { n: 3, afterSeconds: { earliest: 10, nominal: 20, latest: 20 } },
        ],
        lastTryAfterSeconds: { earliest: 10, nominal: 20, latest: 20 },
      },
    },
    bodies: {
      'Three tries, ten seconds apart': { type: 'fixed', delaySeconds: 10, attemptsMax: 3 },
      'Doubling, up to an hour': { type: 'exponential', initialSeconds: 10, maxSeconds: 3600 },
      'A schedule, and 4xx too': {
        type: 'schedule',
        delaysSeconds: [5, 60, 600, 3600, 86_400],
        retryClientErrors: true,
      },
    },
  },

  'eventTypes.create': {
    id: 'createEventType',
    answer: 'The event type as it was registered.',
    about: 'Its example is what a customer reads in the catalogue, and what a test event of this type sends.',
    bodies: {
      'With an example': {
        name: 'invoice.paid',
        description: 'An invoice was paid in full.',
        versions: [{ version: '1', description: 'First version', example: INVOICE }],
      },
      'Only a name': { name: 'customer.created' },
    },
  },
  'eventTypes.list': {
    id: 'listEventTypes',
    answer: 'One page of event types.',
    about: 'What an endpoint may ask for in `eventTypes`, with an example payload of each version.',
  },
  'eventTypes.get': {
    id: 'getEventType',
    answer: 'The event type.',
    about: 'The first version is the one that an event gets which names none.',
  },
  'eventTypes.change': {
    id: 'changeEventType',
    answer: 'The event type as it is now.',
    about: 'What is absent stays: versions are added and changed, never removed.',
    bodies: {
      'A second version': {
        versions: [
          {
            version: '2',
            description: 'Amounts are texts',
            example: { invoice: 'in_1042', amount: '19.99', currency: 'EUR' },
          },
        ],
      },
      'Its events are not worth three days': {
        retryPolicy: { type: 'fixed', delaySeconds: 10, attemptsMax: 3 },
      },
      'A new description': { description: 'An invoice was paid in full, or its last part was.' },
    },
  },
  'eventTypes.delete': { id: 'deleteEventType', answer: 'It is deleted.' },

  'events.publish': {
    id: 'publishEvent',
    answer: 'The event is stored: it will be delivered, or shown as failed.',
    shows: {
      'On its way to two endpoints': { id: EVENT, deliveries: 2 },
      'Nobody wants it': { id: EVENT, deliveries: 0, note: 'no_matching_endpoint' },
    },
    bodies: {
      'An event': { subscriber: 'acme-corp', type: 'invoice.paid', data: INVOICE },
      'With its version and time': {
        subscriber: 'acme-corp',
        type: 'invoice.paid',
        version: '1',
        occurredAt: DELIVERED_EXAMPLE.timestamp,
        data: INVOICE,
      },
      'Before others, and in order with what concerns the same customer': {
        subscriber: 'acme-corp',
        type: 'invoice.paid',
        priority: 'critical',
        orderingKey: 'customer-4711',
        data: INVOICE,
      },
    },
  },
  'events.publishBatch': {
    id: 'publishBatch',
    answer: 'One result per event: what was accepted is stored.',
    shows: {
      'One accepted, one refused': {
        results: [
          { id: EVENT, deliveries: 2 },
          {
            error: {
              code: 'unknown_event_type',
              detail:
                'The event type "invoice.payed" is not in the catalogue; register it with POST /v1/event-types.',
              errors: [{ pointer: '/events/1/type', detail: 'must be a registered event type' }],
            },
          },
        ],
      },
    },
    bodies: {
      'Two events': {
        events: [
          { subscriber: 'acme-corp', type: 'invoice.paid', data: INVOICE },
          { subscriber: 'acme-corp', type: 'invoice.paid', data: { ...INVOICE, invoice: 'in_1043' } },
        ],
      },
    },
  },
  'eventsRead.list': { id: 'listEvents', answer: 'One page of events.' },
  'eventsRead.get': {
    id: 'getEvent',
    answer: 'The event, its payload and its deliveries.',
    about: 'An event that no endpoint wanted is found as well: `note` says so.',
  },

  'deliveries.list': {
    id: 'listDeliveries',
    answer: 'One page of deliveries.',
    shows: { 'One that failed once': { data: [DELIVERY], nextCursor: null } },
    about:
      'Every filter may be left out; together they narrow. What failed today for one customer: `subscriber`, `status=failed` and `since`. `status=failed` is the list of dead letters: nothing more is tried for them, `failure` says how the last attempt failed and `gaveUp` why there is no other; add `failure=…` to see those of one cause, and resend them one by one or by a replay.',
  },
  'deliveries.get': {
    id: 'getDelivery',
    answer: 'The delivery with its timeline.',
    shows: {
      'Failed once, tried again soon': {
        ...DELIVERY,
        event: {
          id: EVENT,
          type: 'invoice.paid',
          version: '1',
          occurredAt: DELIVERED_EXAMPLE.timestamp,
          data: JSON.stringify(INVOICE),
          dataMissing: null,
        },
        endpoint: { id: DELIVERY.endpointId, url: 'https://hooks.acme.example.com/posthorn', stopped: null },
        request: {
          method: 'POST',
          url: 'https://hooks.acme.example.com/posthorn',
          headers: {
            'content-type': 'application/json',
            'webhook-id': DELIVERY.eventId,
            'posthorn-delivery': DELIVERY.id,
          },
          body: JSON.stringify(DELIVERED_EXAMPLE),
        },
        timeline: TIMELINE,
        laneTransitions: [],
      },
    },
    about:
      'All that is on record of it; `GET /v1/deliveries/{delivery}/explain` puts it into one sentence. `event` and `endpoint` are what is sent where; each entry of `timeline` is one request, with what the receiver answered; the last one of a pending delivery is the request to come.',
  },
  'deliveries.explain': {
    id: 'explainDelivery',
    answer: 'Why it has not arrived, or how it did.',
    about:
      'The answer to "why did it not arrive?": `answer` for people, `waitsFor` for programs; `toSendNow` are requests to make, the first thing first.',
    shows: {
      'Failed once, tried again soon': {
        delivery: DELIVERY.id,
        status: 'pending',
        answer:
          'It waits until 2026-11-22T09:30:05.310Z for attempt 2: at 2026-11-22T09:30:00.101Z the receiver answered 503 (http_5xx), and its retry policy says when to try again.',
        waitsFor: {
          code: 'due_time',
          until: '2026-11-22T09:30:05.310Z',
          detail: { because: 'retry_schedule', attempt: 2 },
        },
        lastFailure: {
          class: 'http_5xx',
          statusCode: 503,
          at: '2026-11-22T09:30:00.101Z',
          chargeTo: 'receiver',
          sentence: 'The receiver answered 503.',
        },
        gaveUp: null,
        toSendNow: [
          {
            action: 'Send it now; its retry policy goes on from where it is.',
            method: 'POST',
            path: `/v1/deliveries/${DELIVERY.id}/resend`,
          },
        ],
      },
      'Its endpoint is left alone for a while': {
        delivery: DELIVERY.id,
        status: 'pending',
        answer:
          'The circuit of its endpoint is open because five attempts in a row failed: one probe is sent at 2026-11-22T09:30:31.000Z, and the others follow when it succeeds. Waiting uses up no attempt.',
        waitsFor: {
          code: 'circuit',
          until: '2026-11-22T09:30:31.000Z',
          detail: { state: 'open', reason: 'five attempts in a row failed', trips: 1, isProbe: false },
        },
        lastFailure: null,
        gaveUp: null,
        toSendNow: [
          {
            action: 'Mend the receiver; if it has moved, change the URL: the new one is probed at once.',
            method: 'PATCH',
            path: '/v1/subscribers/sub_01kany2t2bfd0rk8d6x0p9h3qa/endpoints/ep_01kany2t2bfd0rk8d6x0p9h3qa',
          },
        ],
      },
    },
  },
  'deliveries.resend': { id: 'resendDelivery', answer: 'It is sent next.' },
  'deliveries.cancel': {
    id: 'cancelDelivery',
    answer: 'The delivery as it ended.',
    about:
      'One that a worker has in hand is refused with `conflict`: the request may be on its way. An endpoint is stopped whole by disabling it.',
    shows: {
      'Cancelled before its second try': {
        ...DELIVERY,
        status: 'cancelled',
        cancelReason: 'staff',
        finishedAt: '2026-11-22T09:30:03.000Z',
        updatedAt: '2026-11-22T09:30:03.000Z',
        nextAttempt: null,
      },
    },
  },

  'replays.start': {
    id: 'startReplay',
    answer: 'The replay runs in the background; a dry run only counts.',
    about:
      'Count first, then send the same body without `dryRun`, and follow it at `GET /v1/replays/{replay}`. Where few match of very many, `countedTo` says how far the count came in the seconds that it may take; a replay that is started then looks through all the same.',
    bodies: {
      'Count what failed on a day': {
        subscriber: 'acme-corp',
        since: '2026-11-22T00:00:00Z',
        until: '2026-11-23T00:00:00Z',
        dryRun: true,
      },
      'Send what an endpoint missed while it was disabled': {
        subscriber: 'acme-corp',
        endpoint: 'ep_01kany2t2bfd0rk8d6x0p9h3qa',
        status: 'cancelled',
        since: '2026-11-22T08:00:00Z',
        until: '2026-11-22T12:00:00Z',
      },
    },
  },
  'replays.list': {
    id: 'listReplays',
    answer: 'One page of replays.',
    about: 'Dry runs are not kept and not listed.',
  },
  'replays.get': {
    id: 'getReplay',
    answer: 'The replay and how far it is.',
    about:
      '`matched`, `resent` and `skipped` are its progress; `lookedTo` is, where nothing matches for long.',
  },
  'replays.cancel': { id: 'cancelReplay', answer: 'The replay as it ended.' },

  'accessTokens.create': {
    id: 'createAccessToken',
    answer: 'The token, with its text: hand it to the customer.',
    about:
      'For a link into your own pages, or to paste under *Authorize* here. A key can give away no more than it may do itself.',
    bodies: {
      'To look, for an hour': { description: 'portal session of user 4711' },
      'To manage, for ten minutes': { mode: 'manage', expiresInSeconds: 600 },
    },
  },
  'accessTokens.list': {
    id: 'listAccessTokens',
    answer: 'One page of access tokens.',
    about: 'Those that are over are deleted a day after they would have ended.',
  },
  'accessTokens.revoke': { id: 'revokeAccessToken', answer: 'It is revoked.' },

  'apiKeys.create': {
    id: 'createApiKey',
    answer: 'The key, with its text: keep it.',
    about: 'A key that is bound to a subscriber manages no keys, whatever its scopes.',
    bodies: {
      'For a service that publishes': { name: 'billing service', scopes: ['events:write'] },
      'For a customer’s portal, from one network, for a year': {
        name: 'portal',
        scopes: ['tokens:write', 'subscribers:read', 'endpoints:read', 'deliveries:read'],
        allowedIps: ['198.51.100.0/24'],
        expiresInSeconds: 31_536_000,
      },
    },
  },
  'apiKeys.list': {
    id: 'listApiKeys',
    answer: 'One page of API keys.',
    about: 'Those that ended stay in the list for as long as the audit log is kept.',
  },
  'apiKeys.get': {
    id: 'getApiKey',
    answer: 'The key.',
    about: '`lastUsedAt` and `lastUsedIp` say whether anybody still needs it.',
  },
  'apiKeys.rotate': {
    id: 'rotateApiKey',
    answer: 'The key, with its new text: keep it.',
    about:
      'After a leak end the old text at once with `overlapSeconds: 0`. A key whose text is `POSTHORN_ADMIN_KEY` is rotated there.',
    bodies: {
      'The text before is good for another day': {},
      'The text before has leaked: it ends now': { overlapSeconds: 0 },
    },
  },
  'apiKeys.revoke': { id: 'revokeApiKey', answer: 'It is revoked.' },
  'audit.list': {
    id: 'listAuditLog',
    answer: 'One page of the audit log.',
    about:
      'Every change through this API or the command line, every look at a signing secret, and what Posthorn did by itself, such as disabling an endpoint. Publishing is not in it: events are their own record. Rows are written with the change, never altered, and deleted after `AUDIT_RETENTION_DAYS`. A key that is bound to a subscriber sees only that one’s.',
  },

  'health.live': {
    id: 'getLiveness',
    answer: 'The process runs.',
    about: 'Asks for nothing, so that an outage of the database does not restart every process.',
  },
  'health.ready': {
    id: 'getReadiness',
    answer: 'The process can serve.',
    about:
      'Looks at the database, its migrations and the queue. What has not answered within two seconds counts as down, so that a 503 comes before a balancer gives up.',
  },
  'metrics.show': {
    id: 'getMetrics',
    answer: 'The text format of Prometheus.',
    about: 'Counters and histograms of this process; a worker has its own at its own port.',
  },
};

/** @throws when somebody adds an operation and forgets its row */
export function operationEntry(name: string): OperationEntry {
  const entry = OPERATIONS[name];
  if (!entry) throw new Error(`Bug: the operation ${name} has no row in OPERATIONS (operation-table.ts)`);
  return entry;
}
