import type { Random } from './random.js';
import { RETRY_AFTER_MAX_SECONDS } from './retry-after.js';

/** How a random part is taken off or put on each delay `d`: see `jittered`. */
export const JITTERS = ['none', 'full', 'equal', 'proportional'] as const;
export type Jitter = (typeof JITTERS)[number];

export const RETRY_POLICY_TYPES = ['schedule', 'exponential', 'linear', 'fixed'] as const;
export type RetryPolicyType = (typeof RETRY_POLICY_TYPES)[number];

/** The delays, each counted from the end of the try before. The first try is always at once. */
export type RetryDelays =
  /** The n-th delay follows the n-th failed try; the last one is used again when `attemptsMax` asks for more. */
  | { readonly type: 'schedule'; readonly delaysSeconds: readonly number[] }
  | {
      readonly type: 'exponential';
      readonly initialSeconds: number;
      readonly factor: number;
      readonly maxSeconds: number;
    }
  | {
      readonly type: 'linear';
      readonly initialSeconds: number;
      readonly incrementSeconds: number;
      readonly maxSeconds: number;
    }
  | { readonly type: 'fixed'; readonly delaySeconds: number };

export interface RetryBounds {
  readonly jitter: Jitter;
  /** Tries in all, the first one included. */
  readonly attemptsMax: number;
  /** No try later than this after acceptance, whatever the delays, a Retry-After or a closed lane say. */
  readonly ageMaxSeconds: number;
  /** Deadline of one attempt; the endpoint's own when absent. */
  readonly timeoutSeconds?: number;
  /** Whether 413 and the 4xx that are permanent by default are tried again. */
  readonly retryClientErrors: boolean;
}

/** Flat and the same in the API, in jsonb and here. */
export type RetryPolicy = RetryDelays & RetryBounds;

/** What a customer may leave out; `completeRetryPolicy` fills it. */
export type RetryPolicyInput = (
  | Extract<RetryDelays, { type: 'schedule' | 'fixed' }>
  | Optional<Extract<RetryDelays, { type: 'exponential' }>, 'factor' | 'maxSeconds'>
  | Optional<Extract<RetryDelays, { type: 'linear' }>, 'maxSeconds'>
) &
  Partial<RetryBounds>;
type Optional<T, K extends keyof T> = Omit<T, K> & Partial<Pick<T, K>>;

export const ATTEMPTS_MAX = 100;
export const DELAYS_MAX = 100;
export const DELAY_MAX_SECONDS = 7 * 86_400;
export const AGE_MIN_SECONDS = 60;
export const AGE_MAX_SECONDS = 30 * 86_400;
export const FACTOR_MAX = 10;
export const TIMEOUT_MAX_SECONDS = 30;

/**
 * 13 tries over 3.2 days: long enough for a customer's on-call to sleep through a weekend night and still receive
 * everything, short enough that a dead endpoint stops costing us. The numbers behind it: resilience notes 5.1.
 */
export const DEFAULT_RETRY_POLICY: Extract<RetryPolicy, { type: 'schedule' }> = {
  type: 'schedule',
  delaysSeconds: [5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 86400],
  jitter: 'proportional',
  attemptsMax: 13,
  // Twice the schedule: time for held deliveries of a paused or dead endpoint, not for ever.
  ageMaxSeconds: 7 * 86_400,
  retryClientErrors: false,
};

/** Fills what was left out. Takes what `retryPolicyProblems` found nothing wrong with. */
export function completeRetryPolicy(input: RetryPolicyInput): RetryPolicy {
  const { attemptsMax, ageMaxSeconds, retryClientErrors } = DEFAULT_RETRY_POLICY;
  const bounds = {
    // A written schedule keeps its shape; computed delays are upper bounds, which equal jitter never passes.
    jitter: input.jitter ?? (input.type === 'schedule' ? 'proportional' : 'equal'),
    attemptsMax: input.attemptsMax ?? attemptsMax,
    ageMaxSeconds: input.ageMaxSeconds ?? ageMaxSeconds,
    retryClientErrors: input.retryClientErrors ?? retryClientErrors,
    ...(input.timeoutSeconds === undefined ? {} : { timeoutSeconds: input.timeoutSeconds }),
  };
  switch (input.type) {
    case 'schedule': {
      const { type, delaysSeconds } = input;
      // One try for each delay and the first: what whoever writes down a list means by it.
      const triesMeant = Math.min(delaysSeconds.length + 1, ATTEMPTS_MAX);
      return { type, delaysSeconds, ...bounds, attemptsMax: input.attemptsMax ?? triesMeant };
    }
    case 'exponential': {
      const { type, initialSeconds, factor = 2, maxSeconds = 86_400 } = input;
      return { type, initialSeconds, factor, maxSeconds: Math.max(maxSeconds, initialSeconds), ...bounds };
    }
    case 'linear': {
      const { type, initialSeconds, incrementSeconds, maxSeconds = 86_400 } = input;
      const capSeconds = Math.max(maxSeconds, initialSeconds);
      return { type, initialSeconds, incrementSeconds, maxSeconds: capSeconds, ...bounds };
    }
    case 'fixed':
      return { type: input.type, delaySeconds: input.delaySeconds, ...bounds };
  }
}

/** The delay before jitter that follows `triesDone` tries; 0 before the first. Says nothing about `attemptsMax`. */
export function nominalDelaySeconds(policy: RetryDelays, triesDone: number): number {
  if (triesDone <= 0) return 0;
  switch (policy.type) {
    case 'schedule':
      return policy.delaysSeconds[Math.min(triesDone, policy.delaysSeconds.length) - 1] ?? 0;
    case 'exponential':
      return Math.min(policy.maxSeconds, policy.initialSeconds * policy.factor ** (triesDone - 1));
    case 'linear':
      return Math.min(policy.maxSeconds, policy.initialSeconds + policy.incrementSeconds * (triesDone - 1));
    case 'fixed':
      return policy.delaySeconds;
  }
}

/** Seconds until the next try after `triesDone` tries, or null when they are spent. */
export function retryDelaySeconds(policy: RetryPolicy, triesDone: number, random: Random): number | null {
  if (triesDone >= policy.attemptsMax) return null;
  return jittered(policy, nominalDelaySeconds(policy, triesDone), random.next());
}

export type NextTry =
  | { readonly kind: 'retry'; readonly inSeconds: number; readonly reason: 'retry_schedule' | 'retry_after' }
  | { readonly kind: 'give_up'; readonly because: 'attempts_exhausted' | 'too_old' };

/** What the next try has to reckon with. */
export interface TriesSoFar {
  readonly triesDone: number;
  /** Since acceptance. */
  readonly ageSeconds: number;
  /** What the receiver asked for, or null. */
  readonly retryAfterSeconds: number | null;
}

// A receiver that tells ten thousand deliveries "in 60 s" must not meet them all in the sixtieth: they come in the tenth
// part of the wait that follows. Never before.
const RETRY_AFTER_SPREAD = 0.1;

/**
 * When the next try is due, or why there is none: never earlier than a Retry-After (which counts for a day at most), never
 * later than the policy's age.
 */
export function nextTry(policy: RetryPolicy, soFar: TriesSoFar, random: Random): NextTry {
  const delaySeconds = retryDelaySeconds(policy, soFar.triesDone, random);
  if (delaySeconds === null) return { kind: 'give_up', because: 'attempts_exhausted' };
  const askedSeconds = Math.min(soFar.retryAfterSeconds ?? 0, RETRY_AFTER_MAX_SECONDS);
  const asked = askedSeconds > delaySeconds;
  const spread = policy.jitter === 'none' || !asked ? 1 : 1 + RETRY_AFTER_SPREAD * random.next();
  const inSeconds = asked ? Math.min(askedSeconds * spread, RETRY_AFTER_MAX_SECONDS) : delaySeconds;
  if (soFar.ageSeconds + inSeconds > policy.ageMaxSeconds) return { kind: 'give_up', because: 'too_old' };
  return { kind: 'retry', inSeconds, reason: asked ? 'retry_after' : 'retry_schedule' };
}

/** One line of a preview, in seconds since acceptance, as if each try failed at once. */
export interface PreviewedTry {
  readonly n: number;
  readonly earliestSeconds: number;
  readonly nominalSeconds: number;
  readonly latestSeconds: number;
}

/** The tries that a policy gives, until `attemptsMax` or the first that is nominally too old. */
export function previewTries(policy: RetryPolicy): PreviewedTry[] {
  const tries: PreviewedTry[] = [];
  let [earliestSeconds, nominalSeconds, latestSeconds] = [0, 0, 0];
  for (let n = 1; n <= policy.attemptsMax; n++) {
    const delaySeconds = nominalDelaySeconds(policy, n - 1);
    earliestSeconds += jittered(policy, delaySeconds, 0);
    nominalSeconds = Math.min(nominalSeconds + delaySeconds, policy.ageMaxSeconds);
    latestSeconds = Math.min(latestSeconds + jittered(policy, delaySeconds, 1), policy.ageMaxSeconds);
    if (earliestSeconds > policy.ageMaxSeconds) break;
    tries.push({ n, earliestSeconds, nominalSeconds, latestSeconds });
  }
  return tries;
}

/**
 * An outage that failed ten thousand deliveries in the same second must not bring them all back in the same second.
 * `full` and `equal` as in AWS's "Exponential backoff and jitter"; `proportional` spreads a written schedule over half to
 * one and a half of each delay (Svix's ±20 % is too narrow for such a herd). Never later than the policy's own cap.
 */
function jittered(
  policy: RetryDelays & Pick<RetryBounds, 'jitter'>,
  seconds: number,
  chance: number,
): number {
  const capSeconds = 'maxSeconds' in policy ? policy.maxSeconds : DELAY_MAX_SECONDS;
  switch (policy.jitter) {
    case 'none':
      return Math.min(seconds, capSeconds);
    case 'full':
      return Math.min(seconds * chance, capSeconds);
    case 'equal':
      return Math.min(seconds * (0.5 + chance / 2), capSeconds);
    case 'proportional':
      return Math.min(seconds * (0.5 + chance), capSeconds);
  }
}

/** What is wrong with one field. `pointer` is a JSON pointer within the value that was judged ('' is all of it). */
export interface FieldProblem {
  readonly pointer: string;
  readonly detail: string;
}

type Check = (value: unknown, pointer: string) => FieldProblem[];

/** What is wrong with a policy that a customer wrote. Empty: it is a `RetryPolicyInput`. */
export function retryPolicyProblems(value: unknown): FieldProblem[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [{ pointer: '', detail: 'must be an object' }];
  }
  const given = value as Record<string, unknown>;
  const type = RETRY_POLICY_TYPES.find((each) => each === given.type);
  if (type === undefined) {
    return [{ pointer: '/type', detail: `must be one of ${RETRY_POLICY_TYPES.join(', ')}` }];
  }
  const checks: Record<string, Check> = { type: () => [], ...BOUND_CHECKS, ...DELAY_CHECKS[type] };
  const problems: FieldProblem[] = [];
  for (const name of Object.keys(given)) {
    // An unknown field is refused, not ignored: a misspelt `atemptsMax` would otherwise quietly mean 13.
    if (!Object.hasOwn(checks, name)) {
      // The name is a stranger's text: the pointer shows it escaped and cut.
      const shown = name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1');
      problems.push({ pointer: `/${shown}`, detail: `is not a field of a policy of type ${type}` });
      if (problems.length >= PROBLEMS_MAX) return problems;
    } else if (given[name] !== undefined) {
      problems.push(...checks[name](given[name], `/${name}`));
    }
  }
  for (const name of REQUIRED[type]) {
    if (given[name] === undefined) problems.push({ pointer: `/${name}`, detail: 'is required' });
  }
  const { initialSeconds, maxSeconds } = given;
  if (problems.length === 0 && Number(maxSeconds) < Number(initialSeconds)) {
    problems.push({ pointer: '/maxSeconds', detail: 'must not be less than initialSeconds' });
  }
  return problems.slice(0, PROBLEMS_MAX);
}

const PROBLEMS_MAX = 20;

function within(min: number, max: number, whole: 'whole' | 'any' = 'any'): Check {
  return (value, pointer) => {
    const fits = typeof value === 'number' && value >= min && value <= max;
    if (fits && (whole === 'any' || Number.isInteger(value))) return [];
    return [
      { pointer, detail: `must be a ${whole === 'whole' ? 'whole ' : ''}number from ${min} to ${max}` },
    ];
  };
}

const delay = within(0, DELAY_MAX_SECONDS);
const delays: Check = (value, pointer) => {
  if (!Array.isArray(value) || value.length === 0 || value.length > DELAYS_MAX) {
    return [{ pointer, detail: `must be a list of 1 to ${DELAYS_MAX} delays in seconds` }];
  }
  return value.flatMap((each, i) => delay(each, `${pointer}/${i}`));
};

const BOUND_CHECKS: Record<keyof RetryBounds, Check> = {
  jitter: (value, pointer) =>
    JITTERS.some((each) => each === value)
      ? []
      : [{ pointer, detail: `must be one of ${JITTERS.join(', ')}` }],
  attemptsMax: within(1, ATTEMPTS_MAX, 'whole'),
  ageMaxSeconds: within(AGE_MIN_SECONDS, AGE_MAX_SECONDS, 'whole'),
  timeoutSeconds: within(1, TIMEOUT_MAX_SECONDS, 'whole'),
  retryClientErrors: (value, pointer) =>
    typeof value === 'boolean' ? [] : [{ pointer, detail: 'must be true or false' }],
};

const DELAY_CHECKS: Record<RetryPolicyType, Record<string, Check>> = {
  schedule: { delaysSeconds: delays },
  exponential: { initialSeconds: delay, factor: within(1, FACTOR_MAX), maxSeconds: delay },
  linear: { initialSeconds: delay, incrementSeconds: delay, maxSeconds: delay },
  fixed: { delaySeconds: delay },
};

const REQUIRED: Record<RetryPolicyType, readonly string[]> = {
  schedule: ['delaysSeconds'],
  exponential: ['initialSeconds'],
  linear: ['initialSeconds', 'incrementSeconds'],
  fixed: ['delaySeconds'],
};
