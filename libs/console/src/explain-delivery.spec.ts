import { DELIVERY_STATUSES, newId, seededRandom, toPublicId } from '@app/domain';
import type { ExplainRow } from '@app/persistence';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explainDelivery } from './explain-delivery.js';

const NOW = new Date('2026-11-22T12:00:00.000Z');
const at = (seconds: number) => new Date(NOW.getTime() + seconds * 1000);
const random = seededRandom(1);
const [id, other, endpointId, subscriberId] = Array.from({ length: 4 }, () => newId(NOW.getTime(), random));
const OTHER = toPublicId('dlv', other);
const RESEND = `/v1/deliveries/${toPublicId('dlv', id)}/resend`;
const ENDPOINT = `/v1/subscribers/${toPublicId('sub', subscriberId)}/endpoints/${toPublicId('ep', endpointId)}`;

/** Published a second ago, due, first in its lane; workers run. */
const facts = (more: Partial<ExplainRow> = {}): ExplainRow => ({
  now: NOW,
  id,
  subscriberId,
  endpointId,
  status: 'pending',
  place: 'queued',
  trigger: 'event',
  attempts: 0,
  dueAt: at(-1),
  dueBecause: null,
  gaveUp: null,
  cancelReason: null,
  critical: false,
  orderingKey: null,
  finishedAt: null,
  stored: true,
  ticket: 'unclaimed',
  stopped: null,
  disabledReason: null,
  rateLimit: null,
  retryBudgetPercent: 100,
  pausedAt: null,
  circuit: 'closed',
  openUntil: null,
  probeId: null,
  trips: 0,
  circuitReason: null,
  window: 128,
  queued: 1,
  turnId: null,
  blocked: false,
  ahead: 0,
  unseen: 0,
  workersSeenAt: at(-4),
  lastFailure: null,
  ...more,
});
const refused = { class: 'http_5xx', statusCode: 503, detail: null, atMs: at(-60).getTime() };
const retry: Partial<ExplainRow> = {
  place: 'waiting',
  trigger: 'retry',
  attempts: 2,
  dueAt: at(120),
  dueBecause: 'retry_schedule',
  lastFailure: refused,
};
const open: Partial<ExplainRow> = {
  circuit: 'open',
  openUntil: at(30),
  trips: 2,
  circuitReason: 'consecutive_failures',
};
const over: Partial<ExplainRow> = {
  place: null,
  dueAt: null,
  ticket: 'none',
  finishedAt: at(-10),
  attempts: 13,
};

describe('a pending delivery waits for', () => {
  it.each<[string, Partial<ExplainRow>, string, Date | null, RegExp, string[]]>([
    ['a worker', {}, 'worker', null, /^It is due: the next free worker takes it\.$/, []],
    [
      'a worker with a free slot',
      { dueAt: at(-90) },
      'worker',
      null,
      /due since 2026-11-22T11:58:30.000Z and no worker has taken it: workers run: see whether they have free slots\.$/,
      [],
    ],
    [
      'a worker, while none runs',
      { workersSeenAt: at(-31) },
      'worker',
      null,
      /^It has been due since 2026-11-22T11:59:59.000Z, and no worker has given a sign of life since 2026-11-22T11:59:29.000Z: nothing is sent until one runs\.$/,
      [],
    ],
    [
      'a worker, before others, while none has ever run',
      { ahead: 3, workersSeenAt: null },
      'worker',
      null,
      /, and no worker has run yet: nothing is sent until one runs\. Then 3 are before it\.$/,
      [],
    ],
    [
      'a worker, whatever place it has, while none runs',
      { place: 'held', ticket: 'none', ahead: 3, dueBecause: 'rate_limit', workersSeenAt: at(-90) },
      'worker',
      null,
      /nothing is sent until one runs/,
      [],
    ],
    [
      'a worker other than the one that had it, while none runs',
      { ticket: 'claimed', workersSeenAt: at(-90) },
      'worker',
      null,
      /^The worker that had it in hand may be gone, and no worker has given a sign of life/,
      [],
    ],
    [
      'a worker, before the probe of its endpoint, while none runs',
      { ...open, openUntil: at(-5), place: 'held', ticket: 'none', workersSeenAt: at(-90) },
      'worker',
      null,
      /nothing is sent until one runs/,
      [],
    ],
    [
      'its end, because its endpoint is disabled, while no worker runs',
      { stopped: 'endpoint_disabled', workersSeenAt: at(-90) },
      'worker',
      null,
      /nothing is sent, and a worker cancels it when one runs again\.$/,
      [`${ENDPOINT}/enable`, RESEND],
    ],
    [
      'its next try, though no worker runs',
      { ...retry, workersSeenAt: null },
      'due_time',
      at(120),
      /attempt 3/,
      [RESEND],
    ],
    [
      'a ticket that was lost',
      { ticket: 'none', dueAt: at(-90) },
      'worker',
      null,
      /no worker has taken it/,
      [],
    ],
    ['its outcome', { ticket: 'claimed', pausedAt: NOW }, 'in_flight', null, /in hand right now/, []],
    [
      'those before it',
      { ahead: 1 },
      'backlog',
      null,
      /^It is due, and one is before it for the same endpoint\.$/,
      [],
    ],
    [
      'a place, in a backlog',
      { place: 'held', ticket: 'none', queued: 1, dueAt: at(-61) },
      'backlog',
      null,
      /when some have finished; meanwhile up to half of the places go to the newest\.$/,
      [RESEND],
    ],
    [
      'a place, critical',
      { place: 'held', ticket: 'none', queued: 1, dueAt: at(-61), critical: true },
      'backlog',
      null,
      /when some have finished\.$/,
      [RESEND],
    ],
    [
      'those before it, or a worker with a free slot',
      { ahead: 3, dueAt: at(-90) },
      'backlog',
      null,
      /due since 2026-11-22T11:58:30.000Z and no worker has taken it: 3 are before it for the same endpoint; workers run: see whether they have free slots\.$/,
      [],
    ],
    ['others', { ahead: 3, unseen: 2 }, 'backlog', null, /and at least 3 are before it/, []],
    ['others that may be before it', { unseen: 2 }, 'backlog', null, /and others may be before it/, []],
    [
      'others that may be before it, or a worker with a free slot',
      { unseen: 2, dueAt: at(-90) },
      'backlog',
      null,
      /due since 2026-11-22T11:58:30.000Z and no worker has taken it: others may be before it .* see whether they have free slots/,
      [],
    ],
    ['a place', { place: 'held', ticket: 'none', queued: 1 }, 'backlog', null, /one is before it/, [RESEND]],
    [
      'a slot that others wait for',
      { place: 'held', ticket: 'none', rateLimit: { algorithm: 'leaky_bucket', limit: 1, per: 60 } },
      'rate_limit',
      null,
      /limit of 1 in 60 s of its endpoint has given others the next moments/,
      [ENDPOINT],
    ],
    [
      'a place',
      { place: 'held', ticket: 'none', ahead: 1001, queued: 128 },
      'backlog',
      null,
      /more than 1000 are before it.*128 of at most 128/,
      [RESEND],
    ],
    [
      'its next try',
      retry,
      'due_time',
      at(120),
      /until 2026-11-22T12:02:00.000Z for attempt 3: at 2026-11-22T11:59:00.000Z the receiver answered 503 \(http_5xx\)/,
      [RESEND],
    ],
    [
      'a Retry-After',
      { ...retry, dueBecause: 'retry_after' },
      'due_time',
      at(120),
      /asked to be left alone until then/,
      [RESEND],
    ],
    [
      'a fault of ours',
      { ...retry, dueBecause: 'platform_fault' },
      'due_time',
      at(120),
      /a fault of ours.*counts against nobody/,
      [RESEND],
    ],
    [
      'a resume',
      { place: 'held', pausedAt: at(-5) },
      'paused',
      null,
      /paused since 2026-11-22T11:59:55.000Z/,
      [`${ENDPOINT}/resume`],
    ],
    [
      'being cancelled',
      { stopped: 'endpoint_disabled', disabledReason: 'moving' },
      'worker',
      null,
      /disabled \(moving\): nothing is sent/,
      [`${ENDPOINT}/enable`, RESEND],
    ],
    ['being cancelled', { stopped: 'endpoint_deleted' }, 'worker', null, /was deleted/, []],
    [
      'a probe',
      { ...open, place: 'held' },
      'circuit',
      at(30),
      /five attempts in a row failed: one probe is sent at 2026-11-22T12:00:30.000Z/,
      [ENDPOINT, RESEND],
    ],
    [
      'a probe under way',
      { ...open, circuit: 'half_open', openUntil: null, probeId: other, place: 'held' },
      'circuit',
      null,
      /a probe is under way/,
      [ENDPOINT],
    ],
    [
      'itself, the probe',
      { ...open, circuit: 'half_open', openUntil: null, probeId: id },
      'circuit',
      null,
      /this delivery is the probe/,
      [ENDPOINT],
    ],
    [
      'its try before the circuit’s end',
      { ...retry, ...open, dueAt: at(20) },
      'circuit',
      at(30),
      /circuit/,
      [ENDPOINT, RESEND],
    ],
    ['its try after the circuit’s end', { ...retry, ...open }, 'due_time', at(120), /attempt 3/, [RESEND]],
    [
      'its slot',
      { ...retry, dueBecause: 'rate_limit', rateLimit: { algorithm: 'leaky_bucket', limit: 5, per: 60 } },
      'rate_limit',
      at(120),
      /limit of 5 in 60 s of its endpoint has given others the next moments; it asks for one of its own at 2026-11-22T12:02/,
      [ENDPOINT],
    ],
    [
      'the budget',
      { ...retry, dueBecause: 'retry_budget', retryBudgetPercent: 20 },
      'budget',
      at(120),
      /at most 20 %/,
      [ENDPOINT],
    ],
    [
      'one that blocks it',
      { place: 'held', orderingKey: 'k', turnId: other, blocked: true },
      'order',
      null,
      new RegExp(`${OTHER}, before it in its ordering key "k", has failed`),
      [`/v1/deliveries/${OTHER}/resend`, `/v1/deliveries/${OTHER}/cancel`],
    ],
    [
      'one whose turn it is',
      { place: 'held', orderingKey: '', turnId: other, ahead: 4 },
      'order',
      null,
      /4 are before it in its endpoint/,
      [`/v1/deliveries/${OTHER}/explain`, `/v1/deliveries/${OTHER}/cancel`],
    ],
    [
      'those before it in its key',
      { place: 'held', orderingKey: 'k', ahead: 2 },
      'order',
      null,
      /2 are before it/,
      [],
    ],
    [
      'its place, though it is its turn',
      { place: 'held', ticket: 'none', orderingKey: 'k', turnId: id, queued: 0 },
      'worker',
      null,
      /next free worker/,
      [],
    ],
    [
      'its next try, though it is its turn',
      { ...retry, orderingKey: 'k', turnId: id },
      'due_time',
      at(120),
      /attempt 3/,
      [RESEND],
    ],
  ])('%s: %j', (_, more, code, until, answer, paths) => {
    const explained = explainDelivery(facts(more));
    expect(explained.waitsFor, explained.answer).toMatchObject({ code, until });
    expect(explained.answer).toMatch(answer);
    expect(explained.toSendNow.map(({ path }) => path)).toEqual(paths);
  });
});

describe('one that is over', () => {
  it.each<[Partial<ExplainRow>, RegExp, string[]]>([
    [
      { status: 'delivered', attempts: 1 },
      /^It was delivered at 2026-11-22T11:59:50.000Z, by its first attempt\.$/,
      [RESEND],
    ],
    [{ status: 'delivered', attempts: 3 }, /by attempt 3/, [RESEND]],
    [
      { status: 'failed', gaveUp: 'attempts_exhausted', lastFailure: refused },
      /after 13 attempts: .*answered 503.*gives no more tries\.$/,
      [RESEND],
    ],
    [
      { status: 'failed', gaveUp: 'too_old', attempts: 1 },
      /after one attempt: no attempt was answered, and the next try/,
      [RESEND],
    ],
    [{ status: 'failed', gaveUp: 'permanent', stored: false }, /trying again cannot help/, []],
    [
      { status: 'failed', gaveUp: 'permanent', stopped: 'endpoint_disabled' },
      /cannot help/,
      [`${ENDPOINT}/enable`, RESEND],
    ],
    [
      { status: 'failed', gaveUp: 'permanent', orderingKey: 'k', turnId: id, blocked: true },
      /Those behind it/,
      [RESEND, RESEND.replace('resend', 'cancel')],
    ],
    [{ status: 'cancelled', cancelReason: 'staff' }, /by hand; nothing more is sent/, [RESEND]],
    [
      { status: 'cancelled', cancelReason: 'endpoint_deleted', stopped: 'endpoint_deleted' },
      /because its endpoint was deleted/,
      [],
    ],
  ])('%j', (more, answer, paths) => {
    const explained = explainDelivery(facts({ ...over, ...more }));
    expect(explained.waitsFor).toEqual({ code: 'nothing', until: null, detail: {} });
    expect(explained.answer).toMatch(answer);
    expect(explained.toSendNow.map(({ path }) => path)).toEqual(paths);
  });
});

it('says how the latest failure did, and whose matter it is', () => {
  const failure = (lastFailure: ExplainRow['lastFailure']) =>
    explainDelivery(facts({ lastFailure })).lastFailure;
  expect(failure(null)).toBeNull();
  expect(failure(refused)).toEqual({
    class: 'http_5xx',
    statusCode: 503,
    at: at(-60),
    chargeTo: 'receiver',
    sentence: 'The receiver answered 503.',
  });
  expect(
    failure({ class: 'connect_refused', statusCode: null, detail: 'connect: ECONNREFUSED', atMs: 0 }),
  ).toMatchObject({
    chargeTo: 'receiver',
    sentence: 'Nothing listens there (connect: ECONNREFUSED).',
  });
  expect(failure({ class: 'blocked_address', statusCode: null, detail: null, atMs: 0 })!.chargeTo).toBe(
    'config',
  );
});

it('has an answer for every state there is', () => {
  const maybe = <T>(...values: T[]) => fc.constantFrom(null, ...values);
  const anything = fc.record({
    status: fc.constantFrom(...DELIVERY_STATUSES),
    place: fc.constantFrom('queued' as const, 'held' as const, 'waiting' as const),
    ticket: fc.constantFrom('claimed' as const, 'unclaimed' as const, 'none' as const),
    dueAt: fc.constantFrom(at(-100), at(-1), NOW, at(10), at(1000)),
    dueBecause: maybe(
      'retry_schedule' as const,
      'retry_after' as const,
      'platform_fault' as const,
      'rate_limit' as const,
      'retry_budget' as const,
    ),
    stopped: maybe('endpoint_disabled' as const, 'endpoint_deleted' as const, 'subscriber_deleted' as const),
    pausedAt: maybe(NOW),
    circuit: fc.constantFrom('closed' as const, 'open' as const, 'half_open' as const),
    orderingKey: maybe('', 'k'),
    turnId: maybe(id, other),
    blocked: fc.boolean(),
    ahead: fc.constantFrom(0, 1, 1001),
    unseen: fc.constantFrom(0, 1),
    workersSeenAt: maybe(at(-1), at(-100)),
    attempts: fc.nat(13),
    lastFailure: maybe(refused),
    gaveUp: maybe('permanent', 'too_old'),
    cancelReason: maybe('staff'),
  });
  fc.assert(
    fc.property(anything, (more) => {
      // As the table has it: only an open circuit has an end.
      const row = facts({ ...more, openUntil: more.circuit === 'open' ? at(30) : null });
      const { answer, waitsFor } = explainDelivery(
        row.status === 'pending' ? row : { ...row, place: null, dueAt: null, finishedAt: NOW },
      );
      expect(answer).toMatch(/^[A-Z].*\.$/);
      expect(answer).not.toMatch(/undefined|null|NaN|unknown/);
      expect(waitsFor.code === 'nothing').toBe(row.status !== 'pending');
    }),
    { numRuns: 2000 },
  );
});
