import type {
  EnabledEndpointDto,
  EndpointDto,
  EndpointSecretsDto,
  PublicKeyDto,
  RetryPolicyDto,
  ShownAuthDto,
  ShownTlsDto,
} from '@app/dto';
import {
  AUTH_SECRETS,
  completeRetryPolicy,
  DEFAULT_RETRY_POLICY,
  fromPublicId,
  toPublicId,
} from '@app/domain';
import {
  certificatesIn,
  MASK,
  maskHeaders,
  statusOf,
  type EndpointReference,
  type Missed,
} from '@app/endpoints';
import type { EndpointRow, LiveSecret, PublicKeyRow, ShownCredentials } from '@app/persistence';
import { publicJwk } from '@app/signing';

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
    signatures: endpoint.signatures,
    signatureHeaders: endpoint.signatureHeaders.map(({ name, format, own }) => ({
      name,
      format,
      secret: own ? MASK : null,
    })),
    auth: shownAuth(endpoint.auth),
    tls: shownTls(endpoint.tls),
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

function shownAuth(auth: ShownCredentials['auth']): ShownAuthDto | null {
  return auth && { ...auth, [AUTH_SECRETS[auth.type]]: MASK };
}

function shownTls(tls: ShownCredentials['tls']): ShownTlsDto | null {
  if (tls === null) return null;
  const [certificate] = tls.clientCertificate === null ? [] : certificatesIn(tls.clientCertificate);
  return {
    clientCertificate: certificate ?? null,
    clientKey: certificate === undefined ? null : MASK,
    ca: tls.ca === null ? [] : certificatesIn(tls.ca),
  };
}

export function publicKeyView({ publicKey, createdAt, expiresAt }: PublicKeyRow): PublicKeyDto {
  const jwk = publicJwk(publicKey);
  return { keyId: jwk.kid, publicKey, jwk, createdAt, expiresAt };
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
  return {
    data: secrets.map(({ kind, secret, publicKey, createdAt, expiresAt }) => ({
      kind,
      secret: kind === 'v1' ? secret : null,
      publicKey,
      createdAt,
      expiresAt,
    })),
  };
}
