import type { EnabledEndpointDto, EndpointDto, EndpointSecretsDto, RetryPolicyDto } from '@app/contracts';
import { completeRetryPolicy, DEFAULT_RETRY_POLICY, fromPublicId, toPublicId } from '@app/domain';
import { maskHeaders, statusOf, type EndpointReference, type Missed } from '@app/endpoints';
import type { EndpointRow, LiveSecret } from '@app/persistence';

/** The endpoint that a path names; what is not the form of an id is no endpoint. */
export function endpointReference(subscriber: string, endpoint: string): EndpointReference {
  return { subscriber, id: fromPublicId('ep', endpoint) ?? null };
}

export function endpointView(endpoint: EndpointRow): EndpointDto {
  return {
    id: toPublicId('ep', endpoint.id),
    subscriber: toPublicId('sub', endpoint.subscriberId),
    url: endpoint.url,
    description: endpoint.description,
    eventTypes: endpoint.eventTypes,
    headers: maskHeaders(endpoint.headers),
    timeoutSeconds: endpoint.timeoutMs / 1000,
    retryPolicy: endpoint.retryPolicy as RetryPolicyDto | null,
    retryPolicyInEffect: policyInEffect(endpoint),
    rateLimit: endpoint.rateLimit,
    ordered: endpoint.ordered,
    orderedFailure: endpoint.orderedFailure,
    retryBudgetPercent: endpoint.retryBudgetPercent,
    onFailure:
      endpoint.onFailureEndpointId === null
        ? null
        : { endpoint: toPublicId('ep', endpoint.onFailureEndpointId) },
    autoDisable:
      endpoint.disableAfterSeconds === null
        ? null
        : { afterSeconds: endpoint.disableAfterSeconds, attemptsMin: endpoint.disableAttemptsMin },
    verification: endpoint.verification,
    verifiedAt: endpoint.verifiedAt,
    metadata: endpoint.metadata,
    status: statusOf(endpoint),
    disabledReason: endpoint.disabledReason,
    disabledAt: endpoint.disabledAt,
    pausedAt: endpoint.pausedAt,
    createdAt: endpoint.createdAt,
    updatedAt: endpoint.updatedAt,
  };
}

/** Its own policy, else the default; complete. */
function policyInEffect({ retryPolicy, timeoutMs }: EndpointRow): RetryPolicyDto {
  const policy = retryPolicy ? completeRetryPolicy(retryPolicy) : DEFAULT_RETRY_POLICY;
  return { ...policy, timeoutSeconds: policy.timeoutSeconds ?? timeoutMs / 1000 } as RetryPolicyDto;
}

/** With what was cancelled meanwhile, ready to be replayed. */
export function enabledView(endpoint: EndpointRow, missed: Missed | null): EnabledEndpointDto {
  const shown = endpointView(endpoint);
  if (missed === null) return { ...shown, missed };
  const { since, until } = missed;
  return {
    ...shown,
    missed: { ...missed, replay: { endpoint: shown.id, status: 'cancelled', since, until } },
  };
}

export function secretsView(secrets: LiveSecret[]): EndpointSecretsDto {
  return { data: secrets.map(({ secret, createdAt, expiresAt }) => ({ secret, createdAt, expiresAt })) };
}
