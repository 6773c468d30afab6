import {
  DISABLE_AFTER_SECONDS_DEFAULT,
  DISABLE_ATTEMPTS_DEFAULT,
  Problem,
  type FieldProblem,
} from '@app/contracts';
import { fromPublicId } from '@app/domain';
import { endpointsRepository, type NewEndpoint, type Tx } from '@app/persistence';
import { checkRateLimit, checkRetryPolicy } from './checks.js';

/** How an endpoint wants to be sent to, as asked. Absent stays, or has its default; null is none. */
export interface PoliciesWanted {
  /** Unchecked: what a policy may be is the domain's rule. */
  retryPolicy?: unknown;
  rateLimit?: unknown;
  ordered?: boolean;
  orderedFailure?: 'block' | 'skip';
  retryBudgetPercent?: number;
  /** Null for nobody. */
  onFailure?: { endpoint: string } | null;
  /** Null for never. */
  autoDisable?: { afterSeconds?: number; attemptsMin?: number } | null;
}

type Policies = Pick<
  NewEndpoint,
  | 'retryPolicy'
  | 'rateLimit'
  | 'ordered'
  | 'orderedFailure'
  | 'retryBudgetPercent'
  | 'onFailureEndpointId'
  | 'disableAfterSeconds'
  | 'disableAttemptsMin'
>;

/** What nobody asked for otherwise. */
export const DEFAULT_POLICIES: Policies = {
  retryPolicy: null,
  rateLimit: null,
  ordered: false,
  orderedFailure: 'block',
  retryBudgetPercent: 100,
  onFailureEndpointId: null,
  disableAfterSeconds: DISABLE_AFTER_SECONDS_DEFAULT,
  disableAttemptsMin: DISABLE_ATTEMPTS_DEFAULT,
};

/** What of the policies changes, checked. @throws Problem invalid_retry_policy, invalid_rate_limit, invalid_on_failure */
export async function checkPolicies(
  tx: Tx,
  endpoint: { id: string; subscriberId: string },
  wanted: PoliciesWanted,
): Promise<Partial<Policies>> {
  const { retryPolicy, rateLimit, ordered, orderedFailure, retryBudgetPercent, onFailure, autoDisable } =
    wanted;
  const policies: Partial<Policies> = {};
  if (retryPolicy !== undefined)
    policies.retryPolicy = retryPolicy === null ? null : checkRetryPolicy(retryPolicy);
  if (rateLimit !== undefined) policies.rateLimit = rateLimit === null ? null : checkRateLimit(rateLimit);
  if (ordered !== undefined) policies.ordered = ordered;
  if (orderedFailure !== undefined) policies.orderedFailure = orderedFailure;
  if (retryBudgetPercent !== undefined) policies.retryBudgetPercent = retryBudgetPercent;
  if (onFailure !== undefined)
    policies.onFailureEndpointId = onFailure && (await checkOnFailure(tx, endpoint, onFailure.endpoint));
  if (autoDisable === null) policies.disableAfterSeconds = null;
  else if (autoDisable !== undefined) {
    policies.disableAfterSeconds = autoDisable.afterSeconds ?? DISABLE_AFTER_SECONDS_DEFAULT;
    policies.disableAttemptsMin = autoDisable.attemptsMin ?? DISABLE_ATTEMPTS_DEFAULT;
  }
  return policies;
}

/** The uuid of another endpoint of the same subscriber. The answer is the same for one of somebody else's and for none. */
async function checkOnFailure(
  tx: Tx,
  endpoint: { id: string; subscriberId: string },
  other: string,
): Promise<string> {
  const id = fromPublicId('ep', other);
  if (id === endpoint.id) throw refuse('must be another endpoint: this one is what has failed');
  if (id === undefined || !(await endpointsRepository.holds(tx, endpoint.subscriberId, id)))
    throw refuse('must be an endpoint of the same subscriber');
  return id;
}

function refuse(detail: string): Problem {
  const errors: FieldProblem[] = [{ pointer: '/onFailure/endpoint', detail }];
  return new Problem('invalid_on_failure', `\`/onFailure/endpoint\` ${detail}.`, { errors });
}
