import type { ApiScope } from '@app/contracts';
import { TEST_EVENT_TYPE } from '@app/ingest';
import type { World } from './authorization-matrix.world.js';

/** Who may do what on one route. A route without a row fails the test, and so does a row without a route. */
export interface MatrixRow {
  /** The only scope beside `admin` that opens it. */
  scope: ApiScope;
  /** What is answered to whoever may. */
  success: number;
  /** Why a key that is bound to a subscriber is refused; absent: it may, for its own. */
  staffOnly?: string;
  /** The least token of a customer that opens it. */
  customer: 'none' | 'read' | 'manage';
  /** Why a change leaves no row in the audit log; absent: every change leaves one, and what only reads leaves none. */
  unaudited?: string;
  /** Scopes that it takes besides: nobody gives away more than they may do themselves. */
  alsoNeeds?: ApiScope[];
  /** Why a look leaves a row in the audit log. */
  reveals?: string;
  /** A body that succeeds on this world. */
  body?: (world: World) => object;
  /** Places beside the path where an id of somebody may stand. */
  ids?: IdElsewhere[];
}

/** An id in a filter or in a body. Somebody else's must be answered as one that nobody has. */
export interface IdElsewhere {
  kind: 'subscriber' | 'endpoint' | 'event';
  /** The name of the parameter, or the body around the id. */
  at: string | ((id: string, world: World) => object);
}

const PUBLISHED =
  'an event is its own record: who published what is in events, and in the log line event.accepted';
const CATALOGUE = 'the catalogue belongs to everybody';
const KEYS = 'a bound key manages no keys, so that nothing it makes can be more than it is';

const change = (scope: ApiScope, success = 200): MatrixRow => ({ scope, success, customer: 'manage' });
const read = (scope: ApiScope): MatrixRow => ({ scope, success: 200, customer: 'read' });
const byStaff = (row: MatrixRow, staffOnly: string): MatrixRow => ({ ...row, customer: 'none', staffOnly });

const anEvent = (subscriber: string) => ({ subscriber, type: 'thing.happened', data: { n: 1 } });
const aSpan = () => ({ since: new Date(Date.now() - 60_000).toISOString(), until: '2099-01-01T00:00:00Z' });
const byId = { kind: 'subscriber', at: 'subscriber' } as const;
const byEndpoint = { kind: 'endpoint', at: 'endpoint' } as const;
const onFailure: IdElsewhere = {
  kind: 'endpoint',
  at: (id) => ({ url: 'https://hooks.example.com/on-failure', onFailure: { endpoint: id } }),
};

const SUBSCRIBER = '/v1/subscribers/{subscriber}';
const TOKENS = `${SUBSCRIBER}/access-tokens`;
const tokens = (row: MatrixRow): MatrixRow => ({ ...row, customer: 'none' });
const ENDPOINT = `${SUBSCRIBER}/endpoints/{endpoint}`;

export const MATRIX: Record<string, MatrixRow> = {
  'POST /v1/subscribers': byStaff(
    { ...change('subscribers:write', 201), body: () => ({ name: 'new' }) },
    'a bound key has its subscriber',
  ),
  'GET /v1/subscribers': { ...read('subscribers:read'), customer: 'none' },
  [`GET ${SUBSCRIBER}`]: read('subscribers:read'),
  [`PATCH ${SUBSCRIBER}`]: {
    ...change('subscribers:write'),
    customer: 'none',
    body: () => ({ metadata: { changed: 'yes' } }),
  },
  [`DELETE ${SUBSCRIBER}`]: { ...change('subscribers:write', 204), customer: 'none' },
  [`POST ${TOKENS}`]: tokens({
    ...change('tokens:write', 201),
    alsoNeeds: ['subscribers:read', 'endpoints:read', 'deliveries:read'],
    body: () => ({ mode: 'read' }),
  }),
  [`GET ${TOKENS}`]: tokens(read('tokens:write')),
  [`DELETE ${TOKENS}/{token}`]: tokens(change('tokens:write', 204)),

  [`POST ${SUBSCRIBER}/endpoints`]: {
    ...change('endpoints:write', 201),
    body: () => ({ url: 'https://hooks.example.com/new' }),
    ids: [onFailure],
  },
  [`GET ${SUBSCRIBER}/endpoints`]: read('endpoints:read'),
  [`GET ${ENDPOINT}`]: read('endpoints:read'),
  [`PATCH ${ENDPOINT}`]: {
    ...change('endpoints:write'),
    body: () => ({ description: 'changed' }),
    ids: [onFailure],
  },
  [`DELETE ${ENDPOINT}`]: change('endpoints:write', 204),
  [`GET ${ENDPOINT}/secret`]: {
    ...read('secrets:read'),
    customer: 'manage',
    reveals: 'somebody has seen a secret',
  },
  [`POST ${ENDPOINT}/secret/rotate`]: { ...change('endpoints:write'), body: () => ({}) },
  [`GET ${ENDPOINT}/public-key`]: read('endpoints:read'),
  'GET /v1/jwks': { ...read('endpoints:read'), ids: [byEndpoint] },
  [`POST ${ENDPOINT}/disable`]: { ...change('endpoints:write'), body: () => ({ reason: 'test' }) },
  [`POST ${ENDPOINT}/enable`]: change('endpoints:write'),
  [`POST ${ENDPOINT}/pause`]: change('endpoints:write'),
  [`POST ${ENDPOINT}/resume`]: change('endpoints:write'),
  [`GET ${ENDPOINT}/health`]: read('endpoints:read'),
  [`POST ${ENDPOINT}/test`]: {
    ...change('endpoints:write', 202),
    body: () => ({ eventType: TEST_EVENT_TYPE }),
  },
  [`POST ${ENDPOINT}/verify`]: change('endpoints:write', 202),
  'POST /v1/retry-policies/preview': {
    ...read('endpoints:read'),
    body: () => ({ type: 'exponential', initialSeconds: 10, maxSeconds: 3600, attemptsMax: 8 }),
    unaudited: 'it only computes',
  },

  'POST /v1/event-types': byStaff(
    { ...change('admin', 201), body: ({ name }) => ({ name: `${name}.more` }) },
    CATALOGUE,
  ),
  'GET /v1/event-types': read('endpoints:read'),
  'GET /v1/event-types/{name}': read('endpoints:read'),
  'PATCH /v1/event-types/{name}': byStaff(
    { ...change('admin'), body: () => ({ description: 'changed' }) },
    CATALOGUE,
  ),
  'DELETE /v1/event-types/{name}': byStaff(change('admin', 204), CATALOGUE),

  'POST /v1/events': {
    ...change('events:write', 202),
    customer: 'none',
    unaudited: PUBLISHED,
    body: ({ subscriber }) => anEvent(subscriber),
    ids: [
      { kind: 'subscriber', at: (id) => anEvent(id) },
      { kind: 'event', at: (id, { subscriber }) => ({ ...anEvent(subscriber), id }) },
    ],
  },
  'POST /v1/events/batch': {
    ...change('events:write', 202),
    customer: 'none',
    unaudited: PUBLISHED,
    body: ({ subscriber }) => ({ events: [anEvent(subscriber)] }),
    ids: [
      { kind: 'subscriber', at: (id) => ({ events: [anEvent(id)] }) },
      { kind: 'event', at: (id, { subscriber }) => ({ events: [{ ...anEvent(subscriber), id }] }) },
    ],
  },
  'GET /v1/events': { ...read('deliveries:read'), ids: [byId] },
  'GET /v1/events/{event}': read('deliveries:read'),

  'GET /v1/deliveries': { ...read('deliveries:read'), ids: [byId, byEndpoint] },
  'GET /v1/deliveries/{delivery}': read('deliveries:read'),
  'GET /v1/deliveries/{delivery}/explain': read('deliveries:read'),
  'POST /v1/deliveries/{delivery}/resend': change('deliveries:resend', 202),
  'POST /v1/deliveries/{delivery}/cancel': change('deliveries:resend'),

  'POST /v1/replays': {
    ...change('deliveries:resend', 202),
    body: ({ subscriber }) => ({ subscriber, ...aSpan() }),
    ids: [
      { kind: 'subscriber', at: (subscriber) => ({ subscriber, ...aSpan() }) },
      { kind: 'endpoint', at: (endpoint) => ({ endpoint, ...aSpan(), status: 'cancelled', dryRun: true }) },
    ],
  },
  'GET /v1/replays': read('deliveries:read'),
  'GET /v1/replays/{replay}': read('deliveries:read'),
  'DELETE /v1/replays/{replay}': change('deliveries:resend'),

  'GET /metrics': byStaff(read('metrics:read'), 'figures of everybody'),
  'POST /v1/api-keys': byStaff(
    { ...change('admin', 201), body: () => ({ name: 'new', scopes: ['events:write'] }) },
    KEYS,
  ),
  'GET /v1/api-keys': byStaff(read('admin'), KEYS),
  'GET /v1/api-keys/{key}': byStaff(read('admin'), KEYS),
  'POST /v1/api-keys/{key}/rotate': byStaff({ ...change('admin'), body: () => ({}) }, KEYS),
  'DELETE /v1/api-keys/{key}': byStaff(change('admin', 204), KEYS),
  'GET /v1/audit-log': { ...read('admin'), customer: 'none', ids: [byId] },
};

/** The routes that ask for no key, each with why. Everything else that Fastify knows must have a row above. */
export const PUBLIC: Record<string, string> = {
  'GET /health/live': 'an orchestrator has no key',
  'GET /health/ready': 'an orchestrator has no key',
  'GET /openapi.json': 'the contract is no secret',
  'GET /docs': 'the page that asks for the key',
};
