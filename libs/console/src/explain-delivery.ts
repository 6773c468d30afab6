import { AHEAD_COUNTED_MAX, FAILURE_MEANINGS } from '@app/contracts';
import type { ExplanationDto, WaitsForDto, WayToSendDto } from '@app/dto';
import { FAILURES, isFailureClass, toPublicId } from '@app/domain';
import { BACKLOG_AGE_SECONDS, type ExplainRow } from '@app/persistence';
import { circuitReason } from './lane-transition.js';

// A worker that lives claims what is due within a second or two.
const OVERDUE_MS = 30_000;
// Seven of its signs are missing: by then another would have taken over what it had.
const WORKERS_SILENT_MS = 30_000;

interface Verdict {
  answer: string;
  waitsFor: WaitsForDto;
  toSendNow: WayToSendDto[];
}

/** Why a delivery has not arrived, from what is stored of it at one moment. Decides as workers do, and changes nothing. */
export function explainDelivery(facts: ExplainRow): ExplanationDto {
  const { answer, waitsFor, toSendNow } = verdictOf(facts);
  return {
    delivery: toPublicId('dlv', facts.id),
    status: facts.status,
    answer,
    waitsFor,
    lastFailure: lastFailureOf(facts),
    gaveUp: facts.gaveUp as ExplanationDto['gaveUp'],
    toSendNow,
  };
}

function verdictOf(facts: ExplainRow): Verdict {
  switch (facts.status) {
    case 'delivered':
      return over(
        `It was delivered at ${iso(facts.finishedAt)}, by ${ordinalAttempt(facts.attempts)}.`,
        resendWays(facts, 'Send it once more: the receiver sees the same webhook-id.'),
      );
    case 'failed':
      return failed(facts);
    case 'cancelled':
      return over(
        `It was cancelled at ${iso(facts.finishedAt)}${CANCELLED[facts.cancelReason ?? ''] ?? ''}; nothing more is sent.`,
        resendWays(facts, 'Send it after all.'),
      );
    case 'pending':
      return pending(facts);
  }
}

function failed(facts: ExplainRow): Verdict {
  const why = GAVE_UP[facts.gaveUp ?? ''] ?? 'there is no further try';
  const behind = isBlocker(facts) ? ' Those behind it in its ordering key wait for it.' : '';
  const ways = resendWays(facts, 'Send it again, with a fresh retry policy.');
  if (isBlocker(facts))
    ways.push({
      action: 'Or let those behind it follow without it.',
      method: 'POST',
      path: `${pathOf(facts)}/cancel`,
    });
  return over(
    `It has failed at ${iso(facts.finishedAt)} after ${attempts(facts.attempts)}: ${lastFailureText(facts)}, and ${why}.${behind}`,
    ways,
  );
}

/** What stands in the way of a pending delivery, the first thing that has to go first. */
function pending(facts: ExplainRow): Verdict {
  const { now, dueAt, place } = facts;
  if (dueAt === null || place === null) throw new Error(`Bug: pending delivery ${facts.id} is in no place`);
  if (facts.ticket === 'claimed') {
    if (workersAreSilent(facts)) return withoutWorkers(facts, dueAt);
    return waits(
      'in_flight',
      null,
      {},
      'A worker has it in hand right now: its outcome is a matter of seconds. Should that worker die, another takes it within half a minute.',
      [],
    );
  }
  if (facts.stopped) return stopped(facts);
  if (facts.pausedAt)
    return waits(
      'paused',
      null,
      { since: facts.pausedAt },
      `Its endpoint has been paused since ${iso(facts.pausedAt)}; it follows when the endpoint is resumed.`,
      [{ action: 'Resume the endpoint.', method: 'POST', path: `${endpointPath(facts)}/resume` }],
    );
  if (facts.circuit === 'unverified' && facts.trigger !== 'test') return unverified(facts);
  const turn = outOfTurn(facts);
  if (turn) return turn;
  if (dueAt <= now && workersAreSilent(facts)) return withoutWorkers(facts, dueAt);
  if (
    (facts.circuit === 'open' || facts.circuit === 'half_open') &&
    (place === 'held' || !facts.openUntil || dueAt <= facts.openUntil)
  )
    return circuit(facts);
  if (facts.dueBecause === 'rate_limit' && (place === 'held' || dueAt > now))
    return rateLimited(facts, dueAt);
  if (facts.dueBecause === 'retry_budget' && (place === 'held' || dueAt > now))
    return overBudget(facts, dueAt);
  if (dueAt > now) return later(facts, dueAt);
  // Those that have a place may be due later than this one: a rate limit gives them moments to come.
  const behind = place === 'held' ? Math.max(facts.ahead, facts.queued) : facts.ahead;
  if (behind > 0 && place === 'held' && facts.rateLimit) return rateLimited(facts, dueAt);
  const others = behind > 0 || facts.unseen > 0;
  if (others && (place === 'held' || facts.orderingKey === null)) return backlog(facts, dueAt, behind);
  return nextInLine(facts, dueAt);
}

function stopped(facts: ExplainRow): Verdict {
  const reason = facts.disabledReason ? ` (${facts.disabledReason})` : '';
  return waits(
    'worker',
    null,
    { stopped: facts.stopped },
    `${STOPPED[facts.stopped!]}${reason}: nothing is sent, and a worker cancels it ${workersAreSilent(facts) ? 'when one runs again' : 'in a moment'}.`,
    resendWays(facts, 'Send it after all.'),
  );
}

function unverified(facts: ExplainRow): Verdict {
  return waits(
    'unverified',
    null,
    {},
    'Its endpoint has yet to prove that it wants events; it follows when the endpoint is verified. Waiting uses up no attempt.',
    [
      {
        action: 'Have the endpoint asked for its proof.',
        method: 'POST',
        path: `${endpointPath(facts)}/verify`,
      },
    ],
  );
}

/** Null when it waits for no other delivery of its ordering key. */
function outOfTurn(facts: ExplainRow): Verdict | null {
  const { orderingKey, turnId, blocked, ahead } = facts;
  if (orderingKey === null || turnId === facts.id || (turnId === null && ahead === 0)) return null;
  const key = orderingKey === '' ? 'its endpoint' : `its ordering key "${orderingKey}"`;
  const before = turnId === null ? null : toPublicId('dlv', turnId);
  const detail = { orderingKey, before, blocked, ...aheadDetail(ahead) };
  if (blocked && before !== null)
    return waits(
      'order',
      null,
      detail,
      `It goes in order: ${before}, before it in ${key}, has failed and blocks the others until it is resent or cancelled.`,
      [
        {
          action: 'Send the one that blocks it again.',
          method: 'POST',
          path: `/v1/deliveries/${before}/resend`,
        },
        { action: 'Or give that one up.', method: 'POST', path: `/v1/deliveries/${before}/cancel` },
      ],
    );
  const turn = before === null ? [] : [`it is the turn of ${before}`];
  const line = ahead === 0 ? [] : [`${aheadText(ahead)} before it`];
  return waits(
    'order',
    null,
    detail,
    `It goes in order: ${[...turn, ...line].join(', and ')} in ${key}.`,
    before === null
      ? []
      : [
          {
            action: 'See what the one whose turn it is waits for.',
            method: 'GET',
            path: `/v1/deliveries/${before}/explain`,
          },
          { action: 'Or give that one up.', method: 'POST', path: `/v1/deliveries/${before}/cancel` },
        ],
  );
}

function circuit(facts: ExplainRow): Verdict {
  const { openUntil, trips } = facts;
  const isProbe = facts.probeId === facts.id;
  const reason = circuitReason(facts.circuitReason);
  const probing = isProbe
    ? 'this delivery is the probe that is sent now'
    : facts.circuit === 'half_open'
      ? 'a probe is under way, and the others follow when it succeeds'
      : `one probe is sent at ${iso(openUntil)}, and the others follow when it succeeds`;
  return waits(
    'circuit',
    openUntil,
    { state: facts.circuit, reason, trips, isProbe },
    `The circuit of its endpoint is open because ${reason}: ${probing}. Waiting uses up no attempt.`,
    [
      {
        action: 'Mend the receiver; if it has moved, change the URL: the new one is probed at once.',
        method: 'PATCH',
        path: endpointPath(facts),
      },
      ...(facts.circuit === 'open' ? [probeWay(facts)] : []),
    ],
  );
}

function probeWay(facts: ExplainRow): WayToSendDto {
  return {
    action: 'It works again: have a probe sent at once. When that succeeds, this one and all others follow.',
    method: 'POST',
    path: `${pathOf(facts)}/resend`,
  };
}

function rateLimited(facts: ExplainRow, dueAt: Date): Verdict {
  const { rateLimit, now } = facts;
  const limit = rateLimit ? ` of ${rateLimit.limit} in ${rateLimit.per} s` : '';
  const until = dueAt > now ? dueAt : null;
  return waits(
    'rate_limit',
    until,
    { rateLimit },
    `The rate limit${limit} of its endpoint has given others the next moments${until ? `; it asks for one of its own at ${iso(until)}` : ''}. Waiting uses up no attempt.`,
    [
      {
        action: 'Raise the limit, or take it away with null.',
        method: 'PATCH',
        path: endpointPath(facts),
        body: { rateLimit: null },
      },
    ],
  );
}

function overBudget(facts: ExplainRow, dueAt: Date): Verdict {
  const { retryBudgetPercent } = facts;
  return waits(
    'budget',
    dueAt > facts.now ? dueAt : null,
    { retryBudgetPercent },
    `It is a retry, and at most ${retryBudgetPercent} % of its endpoint’s attempts may be retries: it waits until there have been more first attempts, and is looked at again at ${iso(dueAt)}.`,
    [
      {
        action: 'Let all of its attempts be retries.',
        method: 'PATCH',
        path: endpointPath(facts),
        body: { retryBudgetPercent: 100 },
      },
    ],
  );
}

function later(facts: ExplainRow, dueAt: Date): Verdict {
  const nth = `attempt ${facts.attempts + 1}`;
  const failure = lastFailureText(facts);
  const because =
    facts.dueBecause === 'retry_after'
      ? `${failure}, and the receiver asked to be left alone until then`
      : facts.dueBecause === 'platform_fault'
        ? 'a fault of ours stopped the one before, which counts against nobody'
        : facts.attempts > 0
          ? `${failure}, and its retry policy says when to try again`
          : 'it was put off';
  return waits(
    'due_time',
    dueAt,
    { because: facts.dueBecause ?? facts.trigger, attempt: facts.attempts + 1 },
    `It waits until ${iso(dueAt)} for ${nth}: ${because}.`,
    resendWays(facts, 'Send it now; its retry policy goes on from where it is.'),
  );
}

function backlog(facts: ExplainRow, dueAt: Date, ahead: number): Verdict {
  const { window, queued, place, unseen } = facts;
  const detail = { ...aheadDetail(ahead, unseen), queued, window };
  // Whether those before it are slow or the workers are full, nobody can say: both are said.
  if (place !== 'held' && isOverdue(facts, dueAt))
    return waits(
      'backlog',
      null,
      { ...detail, ...workerDetail(facts, dueAt) },
      `${overdueText(dueAt)}: ${aheadText(ahead, unseen)} before it for the same endpoint; ${SEE_WORKERS}.`,
      [],
    );
  const room =
    place === 'held'
      ? ` ${queued} of at most ${window} are queued, and it follows when some have finished${beside(facts)}.`
      : '';
  return waits(
    'backlog',
    null,
    detail,
    `It is due, and ${aheadText(ahead, unseen)} before it for the same endpoint.${room}`,
    place === 'held' && facts.orderingKey === null
      ? resendWays(facts, 'Give it a place now, before the others.')
      : [],
  );
}

/** Behind an old backlog those that came after it are promoted, too (`promoteHeld`): it goes by its age in half of the places. */
function beside({ now, dueAt, critical, orderingKey }: ExplainRow): string {
  const old = now.getTime() - dueAt!.getTime() > BACKLOG_AGE_SECONDS * 1000;
  return old && !critical && orderingKey === null
    ? '; meanwhile up to half of the places go to the newest'
    : '';
}

function nextInLine(facts: ExplainRow, dueAt: Date): Verdict {
  return waits(
    'worker',
    null,
    workerDetail(facts, dueAt),
    isOverdue(facts, dueAt)
      ? `${overdueText(dueAt)}: ${SEE_WORKERS}.`
      : 'It is due: the next free worker takes it.',
    [],
  );
}

/** Nothing else matters before one runs. */
function withoutWorkers(facts: ExplainRow, dueAt: Date): Verdict {
  const { ahead, unseen, ticket, workersSeenAt } = facts;
  const since =
    workersSeenAt === null
      ? 'no worker has run yet'
      : `no worker has given a sign of life since ${iso(workersSeenAt)}`;
  const others = ahead > 0 || unseen > 0 ? ` Then ${aheadText(ahead, unseen)} before it.` : '';
  const taken =
    ticket === 'claimed'
      ? 'The worker that had it in hand may be gone'
      : `It has been due since ${iso(dueAt)}`;
  return waits(
    'worker',
    null,
    { ...aheadDetail(ahead, unseen), ...workerDetail(facts, dueAt) },
    `${taken}, and ${since}: nothing is sent until one runs.${others}`,
    [],
  );
}

function workersAreSilent({ now, workersSeenAt }: ExplainRow): boolean {
  return workersSeenAt === null || now.getTime() - workersSeenAt.getTime() > WORKERS_SILENT_MS;
}

function isOverdue({ now }: ExplainRow, dueAt: Date): boolean {
  return now.getTime() - dueAt.getTime() > OVERDUE_MS;
}

function workerDetail({ now, ticket, workersSeenAt }: ExplainRow, dueAt: Date): Record<string, unknown> {
  const waitedSeconds = Math.floor((now.getTime() - dueAt.getTime()) / 1000);
  return { dueAt, ticket, waitedSeconds, workersSeenAt };
}

function overdueText(dueAt: Date): string {
  return `It has been due since ${iso(dueAt)} and no worker has taken it`;
}

function over(answer: string, toSendNow: WayToSendDto[]): Verdict {
  return { answer, waitsFor: { code: 'nothing', until: null, detail: {} }, toSendNow };
}

function waits(
  code: WaitsForDto['code'],
  until: Date | null,
  detail: Record<string, unknown>,
  answer: string,
  toSendNow: WayToSendDto[],
): Verdict {
  return { answer, waitsFor: { code, until, detail }, toSendNow };
}

/** A resend, and what has to be done before it can be. None when nothing can be sent any more. */
function resendWays(facts: ExplainRow, action: string): WayToSendDto[] {
  if (!facts.stored || facts.stopped === 'endpoint_deleted' || facts.stopped === 'subscriber_deleted')
    return [];
  const resend: WayToSendDto = { action, method: 'POST', path: `${pathOf(facts)}/resend` };
  if (facts.stopped !== 'endpoint_disabled') return [resend];
  return [
    { action: 'Enable the endpoint first.', method: 'POST', path: `${endpointPath(facts)}/enable` },
    resend,
  ];
}

function lastFailureOf({ lastFailure }: ExplainRow): ExplanationDto['lastFailure'] {
  if (lastFailure === null) return null;
  const { class: failure, statusCode, detail, atMs } = lastFailure;
  const chargeTo = isFailureClass(failure) ? FAILURES[failure].chargeTo : 'platform';
  return {
    class: failure,
    statusCode,
    at: new Date(atMs),
    chargeTo,
    sentence: `${textOf(failure, statusCode)}${detail ? ` (${detail})` : ''}.`,
  };
}

function lastFailureText({ lastFailure }: ExplainRow): string {
  if (lastFailure === null) return 'no attempt was answered';
  const said = textOf(lastFailure.class, lastFailure.statusCode);
  return `at ${iso(new Date(lastFailure.atMs))} ${said[0].toLowerCase()}${said.slice(1)} (${lastFailure.class})`;
}

function textOf(failure: string, statusCode: number | null): string {
  if (statusCode !== null && (statusCode < 200 || statusCode > 299))
    return `The receiver answered ${statusCode}`;
  return isFailureClass(failure) ? FAILURE_MEANINGS[failure] : failure;
}

function isBlocker({ id, turnId, blocked }: ExplainRow): boolean {
  return blocked && turnId === id;
}

/** `unseen`: others, of which it is not known whether they are before it. */
function aheadText(ahead: number, unseen = 0): string {
  if (ahead > AHEAD_COUNTED_MAX) return `more than ${AHEAD_COUNTED_MAX} are`;
  if (unseen > 0 && ahead === 0) return 'others may be';
  const text = ahead === 1 ? 'one is' : `${ahead} are`;
  return unseen > 0 ? `at least ${text}` : text;
}

function aheadDetail(ahead: number, unseen = 0): { ahead: number; more: boolean } {
  return { ahead: Math.min(ahead, AHEAD_COUNTED_MAX), more: ahead > AHEAD_COUNTED_MAX || unseen > 0 };
}

function attempts(n: number): string {
  return n === 1 ? 'one attempt' : `${n} attempts`;
}

function ordinalAttempt(n: number): string {
  return n <= 1 ? 'its first attempt' : `attempt ${n}`;
}

function iso(at: Date | null): string {
  return at === null ? 'an unknown time' : at.toISOString();
}

function pathOf({ id }: ExplainRow): string {
  return `/v1/deliveries/${toPublicId('dlv', id)}`;
}

function endpointPath({ subscriberId, endpointId }: ExplainRow): string {
  return `/v1/subscribers/${toPublicId('sub', subscriberId)}/endpoints/${toPublicId('ep', endpointId)}`;
}

const SEE_WORKERS = 'workers run: see whether they have free slots';

const STOPPED = {
  endpoint_disabled: 'Its endpoint is disabled',
  endpoint_deleted: 'Its endpoint was deleted',
  subscriber_deleted: 'Its subscriber was deleted',
};

const CANCELLED: Record<string, string> = {
  endpoint_disabled: ' because its endpoint was disabled',
  endpoint_deleted: ' because its endpoint was deleted',
  subscriber_deleted: ' because its subscriber was deleted',
  staff: ' by hand',
};

const GAVE_UP: Record<string, string> = {
  permanent: 'trying again cannot help',
  attempts_exhausted: 'its retry policy gives no more tries',
  too_old: 'the next try would have come later than its retry policy allows',
  receiver_abort: 'the receiver asked for no more of it',
  platform_faults: 'faults of ours stopped it a thousand times',
};
