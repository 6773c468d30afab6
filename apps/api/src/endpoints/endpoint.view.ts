import type { EndpointDto, EndpointSecretsDto } from '@app/contracts';
import { fromPublicId, toPublicId } from '@app/domain';
import { maskHeaders, statusOf, type EndpointReference } from '@app/endpoints';
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
    metadata: endpoint.metadata,
    status: statusOf(endpoint),
    disabledReason: endpoint.disabledReason,
    disabledAt: endpoint.disabledAt,
    pausedAt: endpoint.pausedAt,
    createdAt: endpoint.createdAt,
    updatedAt: endpoint.updatedAt,
  };
}

export function secretsView(secrets: LiveSecret[]): EndpointSecretsDto {
  return { data: secrets.map(({ secret, createdAt, expiresAt }) => ({ secret, createdAt, expiresAt })) };
}
